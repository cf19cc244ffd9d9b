"""Test slices put together, labelled by every experiment, and counted (Section 4.3)."""


rule reconstruct_fold:
    input:
        library_inputs("reconstruct_fold"),
        patches=patches_of("test"),
        masks=masks_of("test"),
        networks=networks_of_fold(),
        meta_learners=of_models(META_LEARNER, STUDY.meta_learners),
        thresholds=(of_models(THRESHOLDS, STUDY.models) if "TH" in config["labellings"] else []),
    output:
        counts=COUNTS,
        calibration=CALIBRATION_SUMS,
        masks=[directory(folder) for folder in masks_of_experiments()],
        uncertainty=[directory(folder) for folder in uncertainty_of_fold()],
    log:
        result("logs/reconstruct_fold/fold-{fold}.log"),
    benchmark:
        result("benchmarks/reconstruct_fold/fold-{fold}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(32000),
        runtime=scale_with_attempt(720),
    params:
        sessions=session_ids_of("test"),
        models=[(model.name, model.networks, model.combiner) for model in STUDY.models],
        networks=STUDY.networks,
        experiments=STUDY.experiments,
        labellings=config["labellings"],
        training=TRAINING,
        channels=CONTRASTS,
        classes=class_names(),
        background=config["background"],
        uncertain=uncertain_model(),
    message:
        "reconstruct_fold: masks of the test patients by the models of fold {wildcards.fold}"
    script:
        "../workflow_scripts/reconstruct_fold.py"
