"""The phantom cohort: patients with known truth, as DICOM series and masks."""


rule phantom:
    input:
        library_inputs("phantom"),
    output:
        sheet=paths.result("phantom/sessions.tsv"),
        dicom=directory(paths.result("phantom/dicom")),
        masks=directory(paths.result("phantom/masks")),
        truth=directory(paths.result("phantom/truth")),
    log:
        paths.log("phantom"),
    benchmark:
        paths.benchmark("phantom")
    conda:
        "../envs/lumbarseg.yaml"
    threads: 4
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        settings=config.get("phantom", {}),
    message:
        "phantom: making {params.settings[patients]} patients with known truth"
    script:
        "../workflow_scripts/phantom.py"


rule new_phantom:
    input:
        library_inputs("new_phantom"),
    output:
        directory(paths.new_phantom),
    log:
        paths.log("new_phantom"),
    benchmark:
        paths.benchmark("new_phantom")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=30,
    params:
        number=config.get("phantom", {}).get("patients", 0) + 1,
        seed=config.get("phantom", {}).get("seed"),
    message:
        "new_phantom: a patient who is not in the cohort, at the size of a hospital's images"
    script:
        "../workflow_scripts/new_phantom.py"
