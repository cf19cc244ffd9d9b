"""T1w moved onto T2w (Section 3.1.1)."""


rule register_session:
    input:
        library_inputs("register_session"),
        fixed=nifti("T2w"),
        moving=nifti("T1w"),
    output:
        image=REGISTERED,
        matrix=MATRIX,
        report=REGISTRATION,
    log:
        result(f"logs/register_session/{LABEL}.log"),
    benchmark:
        result(f"benchmarks/register_session/{LABEL}.tsv")
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    params:
        settings=registration_settings(),
    message:
        "register_session: T1w of sub-{wildcards.participant} ses-{wildcards.session} onto T2w with {params.settings[engine]}"
    script:
        "../workflow_scripts/register_session.py"
