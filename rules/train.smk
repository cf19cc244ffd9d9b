"""Networks: what they are made of, and the training of each topology in each fold (Sections 4.1 and 5.1 to 5.3)."""


rule networks:
    input:
        library_inputs("networks"),
    output:
        networks=paths.metrics("networks.csv"),
        blocks=paths.metrics("network_blocks.csv"),
    log:
        paths.log("networks"),
    benchmark:
        paths.benchmark("networks")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=30,
    params:
        topologies=plan.topologies,
        shape={
            "side": config["patches"]["patch_size"],
            "channels": len(plan.channels),
            "classes": len(config["classes"]),
            "base_filters": config["training"]["base_filters"],
        },
    message:
        "networks: parameters and operations of each topology"
    script:
        "../workflow_scripts/networks.py"


rule train_network:
    input:
        library_inputs("train_network", plan.modules_without_phantoms),
        ancient(paths.folds),
        training=plan.of_subset(paths.patches, "train"),
        validation=plan.of_subset(paths.patches, "validation"),
        start=plan.start_file,
        phantoms=plan.phantoms_of_training(),
    output:
        network=paths.network,
        history=paths.history,
    log:
        paths.log("train_network", "{topology}_fold-{fold}"),
    benchmark:
        paths.benchmark("train_network", "{topology}_fold-{fold}")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=2880,
    params:
        # Inputs are compared as a set, which patients who change sides leave as it is.
        train_sessions=plan.ids_of_subset("train"),
        validation_sessions=plan.ids_of_subset("validation"),
        topology=lambda wildcards: plan.study.topology(wildcards.topology),
        training=plan.training,
        phantom_samples=plan.phantom_samples,
        start_member=plan.start_member(lambda wildcards: wildcards.topology),
        events=paths.tensorboard,
        channels=plan.channels,
        classes=plan.class_names,
        background=config["background"],
        unlabelled=plan.study.unlabelled,
    message:
        "train_network: {wildcards.topology}, fold {wildcards.fold}, {params.training[epochs]} epochs"
    script:
        "../workflow_scripts/train_network.py"


rule histories:
    input:
        library_inputs("histories"),
        histories=plan.of_folds(paths.history),
    output:
        paths.metrics("histories.csv"),
    log:
        paths.log("histories"),
    benchmark:
        paths.benchmark("histories")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        trainings=[(topology, fold) for fold in plan.study.folds for topology in plan.study.networks],
    message:
        "histories: every epoch of every training"
    script:
        "../workflow_scripts/histories.py"
