"""T1w moved onto T2w (Section 3.1.1)."""


def moving_image(wildcards):
    """A session's T1w. A missing engine is reported once when the session is planned; `begin_run` stops then."""
    problem = plan.registration_problem(wildcards)
    if problem and problem not in planning_problems:
        planning_problems.append(problem)
        if workflow.is_main_process:
            logger.warning(problem)
    return paths.nifti("T1w").format(**wildcards)


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
