"""What to look at before anything is trained: every session's slices, contours and registration."""


rule quality_session:
    input:
        library_inputs("quality_session"),
        t2w=nifti("T2w"),
        t1w=[nifti("T1w"), REGISTERED] if "T1w" in CONTRASTS else [],
        mask=mask_if_there_is_one,
    output:
        PICTURE,
    log:
        result(f"logs/quality_session/{LABEL}.log"),
    benchmark:
        result(f"benchmarks/quality_session/{LABEL}.tsv")
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        classes=config["classes"],
        background=config["background"],
    message:
        "quality_session: slices and contours of sub-{wildcards.participant} ses-{wildcards.session}"
    script:
        "../workflow_scripts/quality_session.py"


rule registration_quality:
    input:
        library_inputs("registration_quality"),
        reports=of_sessions(SESSIONS, REGISTRATION),
    output:
        result("metrics/registration.csv"),
    log:
        result("logs/registration_quality.log"),
    benchmark:
        result("benchmarks/registration_quality.tsv")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        page=QUALITY_PAGE,
    message:
        "registration_quality: how far each T1w was moved, and which to look at"
    script:
        "../workflow_scripts/registration_quality.py"


rule quality_page:
    input:
        library_inputs("quality_page"),
        pictures=of_sessions(SESSIONS, PICTURE),
        choices=of_sessions(SESSIONS, SERIES_SELECTION),
        registration=[result("metrics/registration.csv")] if "T1w" in CONTRASTS else [],
    output:
        QUALITY_PAGE,
    log:
        result("logs/quality_page.log"),
    benchmark:
        result("benchmarks/quality_page.tsv")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        study=config["study"],
        sessions=ids_of(SESSIONS),
    message:
        "quality_page: every session on one page"
    script:
        "../workflow_scripts/quality_page.py"
