"""Images and masks as users have them, turned into NIfTI on one grid a session."""


rule convert_session:
    input:
        library_inputs("convert_session"),
        source=plan.source_images,
    output:
        images=[paths.nifti(contrast) for contrast in plan.channels],
        sidecars=[paths.sidecar(contrast) for contrast in plan.channels],
        choice=paths.series_selection,
    log:
        paths.log("convert_session", LABEL),
    benchmark:
        paths.benchmark("convert_session", LABEL)
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        source=plan.source_by_contrast,
    message:
        "convert_session: sub-{wildcards.participant} ses-{wildcards.session} to NIfTI"
    script:
        "../workflow_scripts/convert_session.py"


rule mask_session:
    input:
        library_inputs("mask_session"),
        image=paths.nifti("T2w"),
        mask=plan.source_mask_file,
        descriptions=[config["label_descriptions"]] if config["label_descriptions"] else [],
    output:
        paths.mask,
    log:
        paths.log("mask_session", LABEL),
    benchmark:
        paths.benchmark("mask_session", LABEL)
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        source=plan.source_mask,
        classes=config["classes"],
        background=config["background"],
    message:
        "mask_session: sub-{wildcards.participant} ses-{wildcards.session} onto the T2w grid"
    script:
        "../workflow_scripts/mask_session.py"


rule label_table:
    input:
        library_inputs("label_table"),
    output:
        itksnap=paths.label_descriptions,
        bids=paths.result("nifti/dseg.tsv"),
    log:
        paths.log("label_table"),
    benchmark:
        paths.benchmark("label_table")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        classes=config["classes"],
        background=config["background"],
    message:
        "label_table: classes for ITK-SNAP and BIDS"
    script:
        "../workflow_scripts/label_table.py"
