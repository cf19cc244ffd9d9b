"""Meta-learners: all of a fold trained side by side on the outputs of its frozen networks (Sections 4.2.2 and 5.4)."""


rule stack_fold:
    input:
        library_inputs("stack_fold"),
        training=plan.of_subset(paths.patches, "train"),
        validation=plan.of_subset(paths.patches, "validation"),
        networks=plan.networks_to_stack,
    output:
        meta_learners=plan.of_models(paths.meta_learner, stacked_only=True),
        history=paths.meta_learner_history,
    log:
        paths.log("stack_fold", "fold-{fold}"),
    benchmark:
        paths.benchmark("stack_fold", "fold-{fold}")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(32000),
        runtime=2880,
    params:
        meta_learners=plan.described(plan.study.meta_learners),
        networks=plan.study.networks,
        network_files=plan.networks_by_fold,
        seen_by=plan.fold_of_networks,
        stacking=config["stacking"],
        training=plan.training,
        channels=plan.channels,
        classes=plan.class_names,
        background=config["background"],
        unlabelled=plan.study.unlabelled,
    message:
        "stack_fold: fold {wildcards.fold}, {params.stacking[epochs]} epochs"
    script:
        "../workflow_scripts/stack_fold.py"
