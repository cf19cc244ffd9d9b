"""New patients: labels by the networks of a bundle, what they measure, and how to show them."""


rule segment_session:
    input:
        library_inputs("segment_session"),
        bundle=config["bundle"] or [],
        images=[paths.aligned(contrast) for contrast in plan.channels],
        sidecars=[paths.sidecar(contrast) for contrast in plan.channels],
        registration=paths.registration_report if plan.has_t1w else [],
        series=paths.series_selection,
    output:
        labels=paths.segmented,
        entropy=paths.uncertainty_map("entropy"),
        mutual_information=paths.uncertainty_map("mutualinformation"),
        record=paths.segmentation_record,
    log:
        paths.log("segment_session", LABEL),
    benchmark:
        paths.benchmark("segment_session", LABEL)
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        sources=plan.source_by_contrast,
        left_out=config["classes_left_out"],
    message:
        "segment_session: sub-{wildcards.participant} ses-{wildcards.session} with {input.bundle}"
    script:
        "../workflow_scripts/segment_session.py"


rule measure_session:
    input:
        library_inputs("measure_session"),
        labels=paths.segmented,
        entropy=paths.uncertainty_map("entropy"),
        record=paths.segmentation_record,
        t2w=paths.nifti("T2w"),
        dicom=plan.t2w_series,
    output:
        # The DICOM-SEG is no output: without it, which is a flag, a session is still segmented.
        measures=paths.measures,
        page=paths.session_page,
        flags=paths.session_flags,
    log:
        paths.log("measure_session", LABEL),
    benchmark:
        paths.benchmark("measure_session", LABEL)
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
        dicomseg=paths.segmented_dicom,
    message:
        "measure_session: areas, volumes and discs of sub-{wildcards.participant} ses-{wildcards.session}"
    script:
        "../workflow_scripts/measure_session.py"


rule describe_measures:
    input:
        library_inputs("describe_measures"),
    output:
        paths.measures_key,
    log:
        paths.log("describe_measures"),
    benchmark:
        paths.benchmark("describe_measures")
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
