"""What to look at before anything is trained: every session's slices, contours and registration."""


rule quality_session:
    input:
        library_inputs("quality_session"),
        t2w=paths.nifti("T2w"),
        t1w=[paths.nifti("T1w"), paths.registered] if plan.has_t1w else [],
        mask=plan.mask_if_any,
    output:
        paths.quality_picture,
    log:
        paths.log("quality_session", LABEL),
    benchmark:
        paths.benchmark("quality_session", LABEL)
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
        reports=of_sessions(plan.sessions, paths.registration_report),
    output:
        paths.metrics("registration.csv"),
    log:
        paths.log("registration_quality"),
    benchmark:
        paths.benchmark("registration_quality")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        page=paths.quality_page,
    message:
        "registration_quality: how far each T1w was moved, and which to look at"
    script:
        "../workflow_scripts/registration_quality.py"


rule quality_page:
    input:
        library_inputs("quality_page"),
        pictures=of_sessions(plan.sessions, paths.quality_picture),
        choices=of_sessions(plan.sessions, paths.series_selection),
        registration=[paths.metrics("registration.csv")] if plan.has_t1w else [],
    output:
        paths.quality_page,
    log:
        paths.log("quality_page"),
    benchmark:
        paths.benchmark("quality_page")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        study=config["study"],
        sessions=ids_of(plan.sessions),
    message:
        "quality_page: every session on one page"
    script:
        "../workflow_scripts/quality_page.py"
