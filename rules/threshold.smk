"""A threshold for each class, model and fold from the validation slices (Section 4.3.2)."""


rule threshold_fold:
    input:
        library_inputs("threshold_fold"),
        patches=plan.of_subset(paths.patches, "validation"),
        masks=plan.of_subset(paths.mask, "validation"),
        networks=plan.networks_of_fold(),
        meta_learners=plan.of_models(paths.meta_learner, stacked_only=True),
    output:
        plan.of_models(paths.thresholds),
    log:
        paths.log("threshold_fold", "fold-{fold}"),
    benchmark:
        paths.benchmark("threshold_fold", "fold-{fold}")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(720),
    params:
        sessions=plan.ids_of_subset("validation"),
        models=plan.described(plan.study.models),
        networks=plan.study.networks,
        training=plan.training,
        channels=plan.channels,
        classes=plan.class_names,
        background=config["background"],
        unlabelled=plan.study.unlabelled,
    message:
        "threshold_fold: tuning all models of fold {wildcards.fold} on its validation slices"
    script:
        "../workflow_scripts/threshold_fold.py"


rule threshold_curves:
    input:
        library_inputs("threshold_curves"),
        thresholds=plan.of_folds(*plan.of_models(paths.thresholds)),
    output:
        paths.metrics("threshold_curves.csv"),
    log:
        paths.log("threshold_curves"),
    benchmark:
        paths.benchmark("threshold_curves")
    conda:
        "../envs/lumbarseg.yaml"
    message:
        "threshold_curves: IoU at each threshold of every model and fold"
    script:
        "../workflow_scripts/threshold_curves.py"
