"""Meta-learners: all of a fold trained side by side on the outputs of its frozen networks (Sections 4.2.2 and 5.4)."""


rule stack_fold:
    input:
        library_inputs("stack_fold"),
        training=patches_of("train"),
        validation=patches_of("validation"),
        networks=networks_to_stack,
    output:
        meta_learners=of_models(META_LEARNER, STUDY.meta_learners),
        history=META_LEARNER_HISTORY,
    log:
        result("logs/stack_fold/fold-{fold}.log"),
    benchmark:
        result("benchmarks/stack_fold/fold-{fold}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(32000),
        runtime=2880,
    params:
        meta_learners=[(model.name, model.networks, model.combiner) for model in STUDY.meta_learners],
        networks=STUDY.networks,
        network_files=lambda wildcards: {
            fold: [path.format(fold=fold) for path in networks_of_fold()] for fold in folds_to_stack(wildcards.fold)
        },
        seen_by=folds_that_stack,
        stacking=config["stacking"],
        training=TRAINING,
        channels=CONTRASTS,
        classes=class_names(),
        background=config["background"],
    message:
        "stack_fold: fold {wildcards.fold}, {params.stacking[epochs]} epochs"
    script:
        "../workflow_scripts/stack_fold.py"
