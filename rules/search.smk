"""Hyper-parameter search: each topology with each optimiser, learning rate and activation (Section 5.2).

Everything it makes stands below `search/`; the study itself never reads it.
"""


rule search_network:
    input:
        library_inputs("search_network"),
        ancient(FOLDS),
        training=patches_of("train"),
        validation=patches_of("validation"),
    output:
        TRIAL_HISTORY,
    log:
        result("logs/search_network/{trial}_fold-{fold}.log"),
    benchmark:
        result("benchmarks/search_network/{trial}_fold-{fold}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=480,
    params:
        # Inputs are compared as a set, which patients who change sides leave as it is.
        train_sessions=session_ids_of("train"),
        validation_sessions=session_ids_of("validation"),
        name=lambda wildcards: STUDY.trials[wildcards.trial].topology,
        topology=lambda wildcards: STUDY.trials[wildcards.trial].entry,
        training=TRAINING | {"epochs": config.get("search", {}).get("epochs")},
        classes=class_names(),
        background=config["background"],
    message:
        "search_network: {wildcards.trial}, fold {wildcards.fold}, {params.training[epochs]} epochs"
    script:
        "../workflow_scripts/search_network.py"


rule search_table:
    input:
        library_inputs("search_table"),
        histories=histories_of_trials,
    output:
        trials=result("search/trials.csv"),
        combinations=result("search/combinations.csv"),
    log:
        result("logs/search_table.log"),
    benchmark:
        result("benchmarks/search_table.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        trials=trials(),
        epochs=config.get("search", {}).get("epochs"),
        best_epoch_by=config["training"]["best_epoch_by"],
        present={name: {key: STUDY.topology(name)[key] for key in HYPER_PARAMETERS} for name in config["topologies"]},
    message:
        "search_table: optimiser, learning rate and activation of each topology"
    script:
        "../workflow_scripts/search_table.py"
