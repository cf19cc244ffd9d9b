"""T1w moved onto T2w (Section 3.1.1)."""


rule register_session:
    input:
        library_inputs("register_session"),
        fixed=paths.nifti("T2w"),
        moving=moving_image,
    output:
        image=paths.registered,
        matrix=paths.registration_matrix,
        report=paths.registration_report,
    log:
        paths.log("register_session", LABEL),
    benchmark:
        paths.benchmark("register_session", LABEL)
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    params:
        settings=plan.registration_settings,
    message:
        "register_session: T1w of sub-{wildcards.participant} ses-{wildcards.session} onto T2w with {params.settings[engine]}"
    script:
        "../workflow_scripts/register_session.py"
