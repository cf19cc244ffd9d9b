"""An experiment packed into one file, with which new patients are segmented."""


rule pack_experiment:
    input:
        library_inputs("pack_experiment"),
        thresholds=of_bundle(THRESHOLDS),
        networks=of_bundle(NETWORK),
        histories=of_bundle(HISTORY),
        meta_learners=of_bundle(META_LEARNER),
        images=of_sessions(LABELLED, *map(normalised, CONTRASTS)),
        sidecars=of_sessions(LABELLED, *map(sidecar, CONTRASTS)),
        iou=result("metrics/iou.csv"),
    output:
        BUNDLE,
    log:
        result("logs/pack_experiment/{experiment}.log"),
    benchmark:
        result("benchmarks/pack_experiment/{experiment}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(60),
    params:
        models=[(model.name, model.networks, model.combiner) for model in STUDY.models],
        labellings=config["labellings"],
        settings={
            key: config[key]
            for key in [
                "study",
                "channels",
                "background",
                "classes",
                "registration",
                "normalisation",
                "patches",
                "stacking",
            ]
        },
        training=TRAINING,
        topologies={name: STUDY.topology(name) for name in STUDY.networks},
        patients=[session.participant_id for session in LABELLED],
        assignments=[(row.participant_id, row.fold, row.subset) for row in ASSIGNMENTS],
    message:
        "pack_experiment: {wildcards.experiment} into one file for new patients"
    script:
        "../workflow_scripts/pack_experiment.py"
