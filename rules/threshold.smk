"""A threshold for each class, model and fold from the validation slices (Section 4.3.2)."""


rule threshold_fold:
    input:
        code("threshold_fold", "labelling", *COMMITTEE_MODULES),
        patches=patches_of("validation"),
        masks=masks_of("validation"),
        networks=networks_of_fold(),
        heads=of_models(HEAD, STUDY.heads),
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
        mem_mb=growing(32000),
        runtime=growing(720),
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
        code("threshold_curves", "labelling"),
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
