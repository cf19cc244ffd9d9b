"""A threshold for each class, model and fold from the validation slices (Section 4.3.2)."""


rule threshold_fold:
    input:
        library_inputs("threshold_fold"),
        patches=patches_of("validation"),
        masks=masks_of("validation"),
        networks=networks_of_fold(),
        meta_learners=of_models(META_LEARNER, STUDY.meta_learners),
    output:
        of_models(THRESHOLDS, STUDY.models),
    log:
        result("logs/threshold_fold/fold-{fold}.log"),
    benchmark:
        result("benchmarks/threshold_fold/fold-{fold}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(720),
    params:
        sessions=session_ids_of("validation"),
        models=[(model.name, model.networks, model.combiner) for model in STUDY.models],
        networks=STUDY.networks,
        training=TRAINING,
        channels=CONTRASTS,
        classes=class_names(),
    message:
        "threshold_fold: tuning all models of fold {wildcards.fold} on its validation slices"
    script:
        "../workflow_scripts/threshold_fold.py"


rule threshold_curves:
    input:
        library_inputs("threshold_curves"),
        thresholds=of_folds(*of_models(THRESHOLDS, STUDY.models)),
    output:
        THRESHOLD_CURVES,
    log:
        result("logs/threshold_curves.log"),
    benchmark:
        result("benchmarks/threshold_curves.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    message:
        "threshold_curves: IoU at each threshold of every model and fold"
    script:
        "../workflow_scripts/threshold_curves.py"
