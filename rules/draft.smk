"""Drafts of masks for sessions without one, whom to draw next, and what was corrected."""


rule draft_session:
    input:
        library_inputs("draft_session"),
        bundle=plan.draft_bundle,
        images=[paths.aligned(contrast) for contrast in plan.channels],
        sidecars=[paths.sidecar(contrast) for contrast in plan.channels],
        registration=paths.registration_report if plan.has_t1w else [],
        series=paths.series_selection,
        descriptions=[config["label_descriptions"]] if config["label_descriptions"] else [],
    output:
        # `labels.nii.gz`, its checksum and the draft it was made of are no outputs: Snakemake would remove what a user has corrected.
        draft=paths.draft("draft.nii.gz"),
        entropy=paths.draft("entropy.nii.gz"),
        images=[paths.draft(f"{contrast.lower()}.nii.gz") for contrast in plan.channels],
        descriptions=paths.draft("labels.txt"),
        command=paths.draft("command.txt"),
        record=paths.draft("draft.json"),
    log:
        paths.log("draft_session", LABEL),
    benchmark:
        paths.benchmark("draft_session", LABEL)
    conda:
        "../envs/lumbarseg.yaml"
    threads: 8
    resources:
        mem_mb=scale_with_attempt(16000),
        runtime=scale_with_attempt(240),
    params:
        sources=plan.source_by_contrast,
        classes=config["classes"],
        background=config["background"],
        left_out=config["classes_left_out"],
    message:
        "draft_session: sub-{wildcards.participant} ses-{wildcards.session} with {input.bundle}"
    script:
        "../workflow_scripts/draft_session.py"


rule profile_session:
    input:
        library_inputs("profile_session"),
        images=[paths.normalised(contrast) for contrast in plan.channels],
        sidecars=[paths.sidecar(contrast) for contrast in plan.channels],
    output:
        paths.profile,
    log:
        paths.log("profile_session", LABEL),
    benchmark:
        paths.benchmark("profile_session", LABEL)
    group:
        "images"
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(15),
    params:
        channels=plan.channels,
    message:
        "profile_session: spacing, times and intensities of sub-{wildcards.participant} ses-{wildcards.session}"
    script:
        "../workflow_scripts/profile_session.py"


rule draft_picture:
    input:
        library_inputs("draft_picture"),
        t2w=paths.draft("t2w.nii.gz"),
        draft=paths.draft("draft.nii.gz"),
    output:
        paths.draft("picture.png"),
    log:
        paths.log("draft_picture", LABEL),
    benchmark:
        paths.benchmark("draft_picture", LABEL)
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
        "draft_picture: slices and contours of the draft of sub-{wildcards.participant} ses-{wildcards.session}"
    script:
        "../workflow_scripts/draft_picture.py"


rule draft_list:
    input:
        library_inputs("draft_list"),
        records=of_sessions(plan.without_masks, paths.draft("draft.json")),
        profiles=of_sessions(plan.without_masks, paths.profile),
        drawn=of_sessions(plan.with_masks, paths.profile) if plan.without_masks else [],
    output:
        listed=paths.draft_list[0],
        commands=paths.draft_list[1],
    log:
        paths.log("draft_list"),
    benchmark:
        paths.benchmark("draft_list")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=ids_of(plan.without_masks),
        channels=plan.channels,
        following=config["draft"]["next"],
        novelty=config["draft"]["novelty"],
    message:
        "draft_list: whom to draw next"
    script:
        "../workflow_scripts/draft_list.py"


rule drafts_page:
    input:
        library_inputs("drafts_page"),
        listed=paths.draft_list[0],
        pictures=of_sessions(plan.without_masks, paths.draft("picture.png")),
        bundle=plan.draft_bundle if plan.without_masks else [],
    output:
        paths.drafts_page,
    log:
        paths.log("drafts_page"),
    benchmark:
        paths.benchmark("drafts_page")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        study=config["study"],
        channels=plan.channels,
        sessions=ids_of(plan.without_masks),
        left_out=config["classes_left_out"],
    message:
        "drafts_page: every draft on one page"
    script:
        "../workflow_scripts/drafts_page.py"


rule measure_corrections:
    input:
        library_inputs("measure_corrections"),
        masks=of_sessions(plan.corrected(), paths.mask),
    output:
        by_class=paths.metrics("corrections.csv"),
        by_slice=paths.metrics("corrections_per_slice.csv"),
    log:
        paths.log("measure_corrections"),
    benchmark:
        paths.benchmark("measure_corrections")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=scale_with_attempt(2000),
        runtime=scale_with_attempt(30),
    params:
        drafts=plan.drafts_of_corrected,
        classes=config["classes"],
        unlabelled=plan.study.unlabelled,
        background=config["background"],
    message:
        "measure_corrections: drafts and their corrected masks"
    script:
        "../workflow_scripts/measure_corrections.py"
