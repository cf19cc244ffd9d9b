"""Test slices put together, labelled by every experiment, and counted (Section 4.3)."""


rule reconstruct_fold:
    input:
        library_inputs("reconstruct_fold"),
        patches=plan.of_subset(paths.patches, "test"),
        masks=plan.of_subset(paths.mask, "test"),
        networks=plan.networks_of_fold(),
        meta_learners=plan.of_models(paths.meta_learner, stacked_only=True),
        thresholds=(plan.of_models(paths.thresholds) if "TH" in config["labellings"] else []),
    output:
        counts=paths.counts,
        calibration=paths.calibration_sums,
        masks=[directory(folder) for folder in plan.masks_of_experiments()],
        uncertainty=[directory(folder) for folder in plan.uncertainty_of_fold()],
    log:
        paths.log("reconstruct_fold", "fold-{fold}"),
    benchmark:
        paths.benchmark("reconstruct_fold", "fold-{fold}")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(720),
    params:
        sessions=plan.ids_of_subset("test"),
        models=plan.described(plan.study.models),
        networks=plan.study.networks,
        experiments=plan.study.experiments,
        labellings=config["labellings"],
        training=plan.training,
        channels=plan.channels,
        classes=plan.class_names,
        background=config["background"],
        unlabelled=plan.study.unlabelled,
        uncertain=plan.uncertain_model,
    message:
        "reconstruct_fold: masks of the test patients by the models of fold {wildcards.fold}"
    script:
        "../workflow_scripts/reconstruct_fold.py"
