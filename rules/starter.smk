"""Starter networks: trained on phantoms alone, for images without masks (docs/starter.md)."""


rule starter_phantoms:
    input:
        library_inputs("starter_phantoms"),
    output:
        directory(paths.starter_phantoms),
    log:
        paths.log("starter_phantoms", "{part}"),
    benchmark:
        paths.benchmark("starter_phantoms", "{part}")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(60),
    params:
        numbers=plan.starter_numbers,
        slices=plan.study.config.starter.slices,
        seed=plan.study.config.starter.seed,
    message:
        "starter_phantoms: slices of phantoms {params.numbers[0]} to {params.numbers[1]}"
    script:
        "../workflow_scripts/starter_phantoms.py"


rule train_starter:
    input:
        library_inputs("train_starter"),
        held_out=plan.of_starter_parts("held-out"),
        phantoms=plan.of_starter_parts("train"),
        start=plan.starter_to_extend,
    output:
        network=paths.starter_network,
        history=paths.starter_history,
    log:
        paths.log("train_starter", "{contrasts}"),
    benchmark:
        paths.benchmark("train_starter", "{contrasts}")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=2880,
    params:
        settings=plan.starter,
        epochs=plan.starter_epochs,
        topology=plan.starter_topology,
        classes=plan.class_names,
        background=config["background"],
    message:
        "train_starter: {wildcards.contrasts}, {params.epochs} epochs of phantoms"
    script:
        "../workflow_scripts/train_starter.py"


rule pack_starter:
    input:
        library_inputs("pack_starter"),
        network=paths.starter_network,
        history=paths.starter_history,
        phantoms=plan.of_starter_parts("test"),
    output:
        paths.starter_bundle,
    log:
        paths.log("pack_starter", "{contrasts}"),
    benchmark:
        paths.benchmark("pack_starter", "{contrasts}")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(8000),
        runtime=scale_with_attempt(120),
    params:
        starter=plan.starter,
        topology=plan.starter_topology,
        classes=config["classes"],
        background=config["background"],
        registration=config["registration"],
    message:
        "pack_starter: {wildcards.contrasts}, tested on phantoms that it has not seen"
    script:
        "../workflow_scripts/pack_starter.py"
