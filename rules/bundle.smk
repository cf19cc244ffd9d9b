"""An experiment packed into one file, with which new patients are segmented."""


rule pack_experiment:
    input:
        library_inputs("pack_experiment"),
        thresholds=plan.of_bundle(paths.thresholds),
        networks=plan.of_bundle(paths.network),
        histories=plan.of_bundle(paths.history),
        meta_learners=plan.of_bundle(paths.meta_learner),
        images=of_sessions(plan.labelled, *map(paths.normalised, plan.channels)),
        sidecars=of_sessions(plan.labelled, *map(paths.sidecar, plan.channels)),
        iou=paths.metrics("iou.csv"),
    output:
        paths.packed_bundle,
    log:
        paths.log("pack_experiment", "{experiment}"),
    benchmark:
        paths.benchmark("pack_experiment", "{experiment}")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(60),
    params:
        models=plan.described(plan.study.models),
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
                "partial_labels",
            ]
        },
        training=plan.training,
        topologies=plan.topologies,
        patients=[session.participant_id for session in plan.labelled],
        assignments=[(row.participant_id, row.fold, row.subset) for row in plan.assignments],
    message:
        "pack_experiment: {wildcards.experiment} into one file for new patients"
    script:
        "../workflow_scripts/pack_experiment.py"
