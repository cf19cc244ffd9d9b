"""Starter networks: trained on phantoms alone, for images without masks (docs/starter.md)."""

starter = plan.study.config.starter


rule starter_phantoms:
    input:
        library_inputs("starter_phantoms"),
    output:
        directory(paths.result("starter/phantoms/part-{part}")),
    log:
        paths.log("starter_phantoms", "part-{part}"),
    benchmark:
        paths.benchmark("starter_phantoms", "part-{part}")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(60),
    params:
        numbers=lambda wildcards: plan.starter_phantoms(int(wildcards.part)),
        slices=starter.slices,
        seed=starter.seed,
    message:
        "starter_phantoms: slices of {params.numbers[0]} to {params.numbers[1]}"
    script:
        "../workflow_scripts/starter_phantoms.py"
