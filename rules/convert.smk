"""Images and masks as users have them, turned into NIfTI on one grid a session."""


rule convert_session:
    input:
        library_inputs("convert_session"),
        source=source_image,
    output:
        images=[nifti(contrast) for contrast in CONTRASTS],
        sidecars=[sidecar(contrast) for contrast in CONTRASTS],
        choice=SERIES_SELECTION,
    log:
        result(f"logs/convert_session/{LABEL}.log"),
    benchmark:
        result(f"benchmarks/convert_session/{LABEL}.tsv")
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        source=source_by_contrast,
    message:
        "convert_session: sub-{wildcards.participant} ses-{wildcards.session} to NIfTI"
    script:
        "../workflow_scripts/convert_session.py"


rule mask_session:
    input:
        library_inputs("mask_session"),
        image=nifti("T2w"),
        mask=lambda wildcards: (sheet() if "phantom" in config else mask_source(wildcards)),
        descriptions=[config["label_descriptions"]] if config["label_descriptions"] else [],
    output:
        MASK,
    log:
        result(f"logs/mask_session/{LABEL}.log"),
    benchmark:
        result(f"benchmarks/mask_session/{LABEL}.tsv")
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        source=mask_source,
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
        itksnap=LABEL_DESCRIPTIONS,
        bids=result("nifti/dseg.tsv"),
    log:
        result("logs/label_table.log"),
    benchmark:
        result("benchmarks/label_table.tsv")
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
