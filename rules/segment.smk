"""New patients: labels by the networks of a bundle, what they measure, and how to show them."""


rule segment_session:
    input:
        library_inputs("segment_session"),
        bundle=config["bundle"] or [],
        images=[aligned(contrast) for contrast in CONTRASTS],
        sidecars=[sidecar(contrast) for contrast in CONTRASTS],
        registration=REGISTRATION if "T1w" in CONTRASTS else [],
    output:
        labels=SEGMENTED,
        entropy=ENTROPY,
        mutual_information=MUTUAL_INFORMATION,
        record=SESSION_RECORD,
    log:
        result(f"logs/segment_session/{LABEL}.log"),
    benchmark:
        result(f"benchmarks/segment_session/{LABEL}.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        sources=source_by_contrast,
    message:
        "segment_session: sub-{wildcards.participant} ses-{wildcards.session} with {input.bundle}"
    script:
        "../workflow_scripts/segment_session.py"


rule measure_session:
    input:
        library_inputs("measure_session"),
        labels=SEGMENTED,
        entropy=ENTROPY,
        record=SESSION_RECORD,
        t2w=nifti("T2w"),
    output:
        measures=MEASURES,
        page=PAGE,
    log:
        result(f"logs/measure_session/{LABEL}.log"),
    benchmark:
        result(f"benchmarks/measure_session/{LABEL}.tsv")
    group:
        "measures"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        classes=config["classes"],
        background=config["background"],
    message:
        "measure_session: areas, volumes and discs of sub-{wildcards.participant} ses-{wildcards.session}"
    script:
        "../workflow_scripts/measure_session.py"


rule dicomseg_session:
    input:
        library_inputs("dicomseg_session"),
        labels=SEGMENTED,
        record=SESSION_RECORD,
        source=lambda wildcards: source_by_contrast(wildcards)["T2w"],
    output:
        SEGMENTED_DICOM,
    log:
        result(f"logs/dicomseg_session/{LABEL}.log"),
    benchmark:
        result(f"benchmarks/dicomseg_session/{LABEL}.tsv")
    group:
        "measures"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(15),
    params:
        classes=config["classes"],
        background=config["background"],
    message:
        "dicomseg_session: labels of sub-{wildcards.participant} ses-{wildcards.session} as DICOM-SEG"
    script:
        "../workflow_scripts/dicomseg_session.py"


rule describe_measures:
    input:
        library_inputs("describe_measures"),
    output:
        MEASURES_KEY,
    log:
        result("logs/describe_measures.log"),
    benchmark:
        result("benchmarks/describe_measures.tsv")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    message:
        "describe_measures: what the columns and measures of the tables are"
    script:
        "../workflow_scripts/describe_measures.py"


onsuccess:
    report_sessions()


onerror:
    report_sessions()
