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
