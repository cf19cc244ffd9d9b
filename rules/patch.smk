"""Slices cut into overlapping patches (Section 3.1.3)."""


rule patch_session:
    input:
        library_inputs("patch_session"),
        images=[paths.normalised(contrast) for contrast in plan.channels],
        mask=paths.mask,
    output:
        description=paths.patches,
        images=paths.patch_arrays("images"),
        labels=paths.patch_arrays("labels"),
    log:
        paths.log("patch_session", LABEL),
    benchmark:
        paths.benchmark("patch_session", LABEL)
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(15),
    params:
        patches=config["patches"],
        background=config["background"],
    message:
        "patch_session: sub-{wildcards.participant} ses-{wildcards.session} into {params.patches[patch_size]} x {params.patches[patch_size]}"
    script:
        "../workflow_scripts/patch_session.py"
