"""Zero mean and unit variance, each channel by itself (Section 3.1.1)."""


rule normalise_session:
    input:
        library_inputs("normalise_session"),
        images=[paths.aligned(contrast) for contrast in plan.channels],
    output:
        images=[paths.normalised(contrast) for contrast in plan.channels],
    log:
        paths.log("normalise_session", LABEL),
    benchmark:
        paths.benchmark("normalise_session", LABEL)
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        scope=config["normalisation"]["scope"],
    message:
        "normalise_session: sub-{wildcards.participant} ses-{wildcards.session}"
    script:
        "../workflow_scripts/normalise_session.py"
