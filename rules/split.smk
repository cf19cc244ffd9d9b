"""Sessions selected by the paper's criteria (Section 3.1.1, Table 2), and their patients split into folds (Table 3).

All images and masks are checked by then: nothing heavy starts before.
"""


rule select_sessions:
    input:
        library_inputs("select_sessions"),
        sheet=plan.with_sheet(plan.sheet),
        patches=of_sessions(plan.with_masks, paths.patches),
        images=[
            path for session in plan.with_masks for path in of_sessions([session], *map(paths.nifti, plan.channels))
        ],
        sidecars=[
            path for session in plan.with_masks for path in of_sessions([session], *map(paths.sidecar, plan.channels))
        ],
        choices=of_sessions(plan.with_masks, paths.series_selection),
        registrations=of_sessions(plan.with_masks, paths.registration_report) if plan.has_t1w else [],
    output:
        cohort=paths.metrics("cohort.csv"),
        selection=paths.selection,
    log:
        paths.log("select_sessions"),
    benchmark:
        paths.benchmark("select_sessions")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        channels=plan.channels,
        sessions=ids_of(plan.with_masks),
        lacking=plan.missing_images,
        criteria=plan.selection_criteria,
        class_names=plan.class_names,
    message:
        "select_sessions: sessions by acquisition, cover, brightness and noise"
    script:
        "../workflow_scripts/select_sessions.py"


# A checkpoint, though nobody asks for what it found: below a job that runs Snakemake does not look whether anything else of
# a job has changed, but below a checkpoint it looks again. Without, networks whose patients have changed stayed as they were.
checkpoint split:
    input:
        library_inputs("split"),
        sheet=plan.with_split(plan.sheet),
        selection=paths.selection,
        choices=of_sessions(plan.labelled, paths.series_selection),
    output:
        folds=paths.folds,
    log:
        paths.log("split"),
    benchmark:
        paths.benchmark("split")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        left_out=plan.left_out,
        lacking=plan.missing_images,
        sources=plan.sources_to_split,
        assignments=[(row.participant_id, row.fold, row.subset) for row in plan.assignments],
    message:
        "split: patients into test and folds"
    script:
        "../workflow_scripts/split.py"
