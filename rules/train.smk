"""Networks: what they are made of, and the training of each topology in each fold (Sections 4.1 and 5.1 to 5.3)."""


rule networks:
    input:
        library_inputs("networks"),
    output:
        networks=result("metrics/networks.csv"),
        blocks=result("metrics/network_blocks.csv"),
    log:
        result("logs/networks.log"),
    benchmark:
        result("benchmarks/networks.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=30,
    params:
        topologies={name: STUDY.topology(name) for name in STUDY.networks},
        shape={
            "side": config["patches"]["side"],
            "channels": len(CONTRASTS),
            "classes": len(config["classes"]),
            "base_filters": config["training"]["width"],
        },
    message:
        "networks: parameters and operations of each topology"
    script:
        "../workflow_scripts/networks.py"


rule train_network:
    input:
        library_inputs("train_network"),
        ancient(FOLDS),
        training=patches_of("train"),
        validation=patches_of("validation"),
    output:
        network=NETWORK,
        history=HISTORY,
    log:
        result("logs/train_network/{topology}_fold-{fold}.log"),
    benchmark:
        result("benchmarks/train_network/{topology}_fold-{fold}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=2880,
    params:
        # Inputs are compared as a set, which patients who change sides leave as it is.
        train_sessions=session_ids_of("train"),
        validation_sessions=session_ids_of("validation"),
        topology=lambda wildcards: STUDY.topology(wildcards.topology),
        training=TRAINING,
        events=TENSORBOARD,
        channels=CONTRASTS,
        classes=class_names(),
        background=config["background"],
    message:
        "train_network: {wildcards.topology}, fold {wildcards.fold}, {params.training[epochs]} epochs"
    script:
        "../workflow_scripts/train_network.py"


rule histories:
    input:
        library_inputs("histories"),
        histories=of_folds(HISTORY),
    output:
        HISTORIES,
    log:
        result("logs/histories.log"),
    benchmark:
        result("benchmarks/histories.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        trainings=[(topology, fold) for fold in STUDY.folds for topology in STUDY.networks],
    message:
        "histories: every epoch of every training"
    script:
        "../workflow_scripts/histories.py"
