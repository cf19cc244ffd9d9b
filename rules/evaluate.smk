"""IoU and its statistics from the counts (Sections 5.5 and 6), and what else is measured of the masks."""


rule evaluate:
    input:
        library_inputs("evaluate"),
        counts=plan.of_folds(paths.counts),
        # Asked for by name, so that an experiment added to the config is made.
        masks=plan.of_folds(*plan.masks_of_experiments()),
    output:
        iou=paths.metrics("iou.csv"),
        per_slice=paths.metrics("iou_per_slice.csv"),
        per_patient=paths.metrics("iou_per_patient.csv"),
        wilcoxon=paths.metrics("wilcoxon.csv"),
        ranking=paths.metrics("ranking.csv"),
        worst_cases=paths.metrics("worst_cases.csv"),
        machine=paths.metrics("machine.json"),
    log:
        paths.log("evaluate"),
    benchmark:
        paths.benchmark("evaluate")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(60),
    params:
        classes=config["classes"],
        background=config["background"],
        comparison={key: config["comparison"][key] for key in ("reference", "resamples", "seed")},
    message:
        "evaluate: IoU of every experiment, and how it compares with {params.comparison[reference]}"
    script:
        "../workflow_scripts/evaluate.py"


rule calibration:
    input:
        library_inputs("calibration"),
        sums=plan.of_folds(paths.calibration_sums),
    output:
        calibration=paths.metrics("calibration.csv"),
        errors=paths.metrics("calibration_errors.csv"),
    log:
        paths.log("calibration"),
    benchmark:
        paths.benchmark("calibration")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        classes=plan.class_names,
    message:
        "calibration: how far scores can be taken for probabilities"
    script:
        "../workflow_scripts/calibration.py"


rule assess_fold:
    input:
        library_inputs("assess_fold"),
        truth=plan.of_subset(paths.mask, "test"),
        masks=[paths.masks(experiment) for experiment in results.settings.measured],
    output:
        distances=paths.surface_distances,
        confusion=paths.confusion,
    log:
        paths.log("assess_fold", "fold-{fold}"),
    benchmark:
        paths.benchmark("assess_fold", "fold-{fold}")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(120),
    params:
        sessions=plan.ids_of_subset("test"),
        experiments=results.settings.measured,
        classes=config["classes"],
        background=config["background"],
        unlabelled=plan.study.unlabelled,
    message:
        "assess_fold: distances between contours and confusion of classes, fold {wildcards.fold}"
    script:
        "../workflow_scripts/assess_fold.py"


rule assessment:
    input:
        library_inputs("assessment"),
        distances=plan.of_folds(paths.surface_distances),
        confusion=plan.of_folds(paths.confusion),
    output:
        distances=paths.metrics("surface_distances.csv"),
        confusion=paths.metrics("confusion.csv"),
    log:
        paths.log("assessment"),
    benchmark:
        paths.benchmark("assessment")
    conda:
        "../envs/lumbarseg.yaml"
    message:
        "assessment: distances between contours and confusion of classes of all folds"
    script:
        "../workflow_scripts/assessment.py"


rule case_slices:
    input:
        library_inputs("case_slices"),
        per_slice=paths.metrics("iou_per_slice.csv"),
        worst_cases=paths.metrics("worst_cases.csv"),
        t2w=of_sessions(plan.tested_sessions(), paths.nifti("T2w")),
        t1w=of_sessions(plan.tested_sessions(), paths.registered) if plan.has_t1w else [],
        truth=of_sessions(plan.tested_sessions(), paths.mask),
        masks=[
            paths.result(f"masks/{experiment}/fold-{fold}")
            for experiment in results.settings.shown
            for fold in plan.study.folds
        ],
    output:
        cases=paths.slices("cases"),
        worst=[paths.slices(f"worst_{experiment}") for experiment in results.settings.shown],
    log:
        paths.log("case_slices"),
    benchmark:
        paths.benchmark("case_slices")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=[(session.participant_id, session.session_id) for session in plan.tested_sessions()],
        experiments=results.settings.shown,
        folds=plan.study.folds,
        by_hand=config["figures"]["slices"],
        most=3,
        background=config["background"],
        unlabelled=plan.study.unlabelled,
    message:
        "case_slices: slices of Figure 7, and each experiment's worst, from the images"
    script:
        "../workflow_scripts/case_slices.py"


rule example_slices:
    input:
        library_inputs("example_slices"),
        t2w=of_sessions(plan.labelled[:1], paths.nifti("T2w")),
        t1w=(of_sessions(plan.labelled[:1], paths.nifti("T1w"), paths.registered) if plan.has_t1w else []),
        normalised=[
            path for contrast in plan.channels for path in of_sessions(plan.labelled[:1], paths.normalised(contrast))
        ],
        mask=of_sessions(plan.labelled[:1], paths.mask),
    output:
        labelled=paths.slices("examples"),
        steps=paths.slices("preprocessing"),
    log:
        paths.log("example_slices"),
    benchmark:
        paths.benchmark("example_slices")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        patches=config["patches"],
    message:
        "example_slices: slices of Figures 2 and 3 from the images"
    script:
        "../workflow_scripts/example_slices.py"


rule uncertainty_slices:
    input:
        library_inputs("uncertainty_slices"),
        per_slice=paths.metrics("iou_per_slice.csv"),
        t2w=of_sessions(plan.subset(1, "test"), paths.nifti("T2w")),
        truth=of_sessions(plan.subset(1, "test"), paths.mask),
        masks=paths.result(f"masks/{config['uncertainty']['experiment']}/fold-1"),
        maps=paths.result(f"uncertainty/{plan.uncertain_model}/fold-1"),
    output:
        paths.slices("uncertainty"),
    log:
        paths.log("uncertainty_slices"),
    benchmark:
        paths.benchmark("uncertainty_slices")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=ids_of(plan.subset(1, "test")),
        experiment=config["uncertainty"]["experiment"],
        fold=1,
        background=config["background"],
        unlabelled=plan.study.unlabelled,
    message:
        "uncertainty_slices: slices of the figure of uncertainty from the images"
    script:
        "../workflow_scripts/uncertainty_slices.py"


rule usage:
    input:
        library_inputs("usage"),
        **plan.benchmarks_by_rule(),
        networks=paths.metrics("networks.csv"),
        histories=plan.of_folds(paths.history),
        meta_learners=plan.of_folds(paths.meta_learner_history) if plan.study.meta_learners else [],
    output:
        paths.metrics("usage.csv"),
    log:
        paths.log("usage"),
    benchmark:
        paths.benchmark("usage")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        rules=list(plan.benchmarks_by_rule()),
        topologies=[topology for fold in plan.study.folds for topology in plan.study.networks],
    message:
        "usage: what the study cost by stage"
    script:
        "../workflow_scripts/usage.py"
