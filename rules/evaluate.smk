"""IoU and its statistics from the counts (Sections 5.5 and 6), and what else is measured of the masks."""


rule evaluate:
    input:
        library_inputs("evaluate"),
        counts=of_folds(COUNTS),
        # Asked for by name, so that an experiment added to the config is made.
        masks=of_folds(*masks_of_experiments()),
    output:
        iou=result("metrics/iou.csv"),
        per_slice=result("metrics/iou_per_slice.csv"),
        per_patient=result("metrics/iou_per_patient.csv"),
        wilcoxon=result("metrics/wilcoxon.csv"),
        ranking=result("metrics/ranking.csv"),
        worst_cases=result("metrics/worst_cases.csv"),
        machine=result("metrics/machine.json"),
    log:
        result("logs/evaluate.log"),
    benchmark:
        result("benchmarks/evaluate.tsv")
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
        sums=of_folds(CALIBRATION_SUMS),
    output:
        calibration=CALIBRATION,
        errors=CALIBRATION_ERRORS,
    log:
        result("logs/calibration.log"),
    benchmark:
        result("benchmarks/calibration.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        classes=class_names(),
    message:
        "calibration: how far scores can be taken for probabilities"
    script:
        "../workflow_scripts/calibration.py"


rule assess_fold:
    input:
        library_inputs("assess_fold"),
        truth=masks_of("test"),
        masks=[result(f"masks/{experiment}/fold-{{fold}}") for experiment in REPORT.measured],
    output:
        distances=DISTANCES,
        confusion=CONFUSION,
    log:
        result("logs/assess_fold/fold-{fold}.log"),
    benchmark:
        result("benchmarks/assess_fold/fold-{fold}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(120),
    params:
        sessions=session_ids_of("test"),
        experiments=REPORT.measured,
        classes=config["classes"],
        background=config["background"],
    message:
        "assess_fold: distances between contours and confusion of classes, fold {wildcards.fold}"
    script:
        "../workflow_scripts/assess_fold.py"


rule assessment:
    input:
        library_inputs("assessment"),
        distances=of_folds(DISTANCES),
        confusion=of_folds(CONFUSION),
    output:
        distances=result("metrics/surface_distances.csv"),
        confusion=result("metrics/confusion.csv"),
    log:
        result("logs/assessment.log"),
    benchmark:
        result("benchmarks/assessment.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    message:
        "assessment: distances between contours and confusion of classes of all folds"
    script:
        "../workflow_scripts/assessment.py"


rule case_slices:
    input:
        library_inputs("case_slices"),
        per_slice=result("metrics/iou_per_slice.csv"),
        worst_cases=result("metrics/worst_cases.csv"),
        t2w=of_sessions(tested_sessions(), nifti("T2w")),
        t1w=of_sessions(tested_sessions(), REGISTERED) if "T1w" in CONTRASTS else [],
        truth=of_sessions(tested_sessions(), MASK),
        masks=[result(f"masks/{experiment}/fold-{fold}") for experiment in REPORT.shown for fold in STUDY.folds],
    output:
        cases=CASES,
        worst=[WORST_SLICES.format(experiment=experiment) for experiment in REPORT.shown],
    log:
        result("logs/case_slices.log"),
    benchmark:
        result("benchmarks/case_slices.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=[(session.participant_id, session.session_id) for session in tested_sessions()],
        experiments=REPORT.shown,
        folds=STUDY.folds,
        by_hand=config["figures"]["slices"],
        most=3,
        background=config["background"],
    message:
        "case_slices: slices of Figure 7, and each experiment's worst, from the images"
    script:
        "../workflow_scripts/case_slices.py"


rule example_slices:
    input:
        library_inputs("example_slices"),
        t2w=of_sessions(LABELLED[:1], nifti("T2w")),
        t1w=(of_sessions(LABELLED[:1], nifti("T1w"), REGISTERED) if "T1w" in CONTRASTS else []),
        normalised=[path for contrast in CONTRASTS for path in of_sessions(LABELLED[:1], normalised(contrast))],
        mask=of_sessions(LABELLED[:1], MASK),
    output:
        labelled=EXAMPLES,
        steps=PREPROCESSING_SLICES,
    log:
        result("logs/example_slices.log"),
    benchmark:
        result("benchmarks/example_slices.tsv")
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
        per_slice=result("metrics/iou_per_slice.csv"),
        t2w=of_sessions(subset(1, "test"), nifti("T2w")),
        truth=of_sessions(subset(1, "test"), MASK),
        masks=result(f"masks/{REPORT.uncertain}/fold-1"),
        maps=result(f"uncertainty/{uncertain_model()}/fold-1"),
    output:
        UNCERTAIN_SLICES,
    log:
        result("logs/uncertainty_slices.log"),
    benchmark:
        result("benchmarks/uncertainty_slices.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=ids_of(subset(1, "test")),
        experiment=REPORT.uncertain,
        fold=1,
        background=config["background"],
    message:
        "uncertainty_slices: slices of the figure of uncertainty from the images"
    script:
        "../workflow_scripts/uncertainty_slices.py"


rule usage:
    input:
        library_inputs("usage"),
        **benchmarks_by_rule(),
        networks=result("metrics/networks.csv"),
        histories=of_folds(HISTORY),
        meta_learners=of_folds(META_LEARNER_HISTORY) if STUDY.meta_learners else [],
    output:
        result("metrics/usage.csv"),
    log:
        result("logs/usage.log"),
    benchmark:
        result("benchmarks/usage.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        rules=list(benchmarks_by_rule()),
        topologies=[topology for fold in STUDY.folds for topology in STUDY.networks],
    message:
        "usage: what the study cost by stage"
    script:
        "../workflow_scripts/usage.py"
