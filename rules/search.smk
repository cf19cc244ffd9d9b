"""Hyper-parameter search: each topology with each optimiser, learning rate and activation (Section 5.2).

Trials are below `search/`; the study itself never reads them.
"""


rule search_network:
    input:
        library_inputs("search_network", plan.modules_without_phantoms),
        ancient(paths.folds),
        training=plan.of_subset(paths.patches, "train"),
        validation=plan.of_subset(paths.patches, "validation"),
        # Trials start as the networks of the study do, because they are to rank settings for them.
        start=plan.start_file,
        phantoms=plan.phantoms_of_training(),
    output:
        paths.trial_history,
    log:
        paths.log("search_network", "{trial}_fold-{fold}"),
    benchmark:
        paths.benchmark("search_network", "{trial}_fold-{fold}")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=480,
    params:
        # Inputs are compared as a set, which patients who change sides leave as it is.
        train_sessions=plan.ids_of_subset("train"),
        validation_sessions=plan.ids_of_subset("validation"),
        name=lambda wildcards: plan.study.trials[wildcards.trial].topology,
        topology=lambda wildcards: plan.study.trials[wildcards.trial].entry,
        phantom_samples=plan.phantom_samples,
        start_member=plan.start_member(lambda wildcards: plan.study.trials[wildcards.trial].topology),
        channels=plan.channels,
        training=plan.training | {"epochs": config.get("search", {}).get("epochs")},
        classes=plan.class_names,
        background=config["background"],
        unlabelled=plan.study.unlabelled,
    message:
        "search_network: {wildcards.trial}, fold {wildcards.fold}, {params.training[epochs]} epochs"
    script:
        "../workflow_scripts/search_network.py"


rule search_table:
    input:
        library_inputs("search_table"),
        histories=plan.histories_of_trials,
    output:
        trials=paths.result("search/trials.csv"),
        combinations=paths.result("search/combinations.csv"),
    log:
        paths.log("search_table"),
    benchmark:
        paths.benchmark("search_table")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        trials=plan.trials(),
        epochs=config.get("search", {}).get("epochs"),
        monitor=config["training"]["monitor"],
        present=plan.present_hyper_parameters(),
    message:
        "search_table: optimiser, learning rate and activation of each topology"
    script:
        "../workflow_scripts/search_table.py"
