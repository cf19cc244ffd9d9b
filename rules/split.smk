"""Sessions selected by the paper's criteria (Section 3.1.1, Table 2), and their patients split into folds (Table 3).

All images and masks are checked by then: nothing heavy starts before.
"""

if workflow.is_main_process and ASSIGNMENTS and (anew := folds.changed_folds(FOLDS, ASSIGNMENTS)):
    logger.info(
        f"split: other patients than {FOLDS} says are now for training or validation in fold {', '.join(map(str, anew))}; what "
        "was trained on the former ones is made anew once `split` has run, and a dry run does not list it before"
    )


rule select_sessions:
    input:
        library_inputs("select_sessions"),
        sheet=with_sheet(sheet()),
        patches=of_sessions(WITH_MASKS, PATCHES),
        images=[path for session in WITH_MASKS for path in of_sessions([session], *map(nifti, CONTRASTS))],
        sidecars=[path for session in WITH_MASKS for path in of_sessions([session], *map(sidecar, CONTRASTS))],
        choices=of_sessions(WITH_MASKS, SERIES_SELECTION),
    output:
        cohort=result("metrics/cohort.csv"),
        selection=SELECTION,
    log:
        result("logs/select_sessions.log"),
    benchmark:
        result("benchmarks/select_sessions.tsv")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        channels=CONTRASTS,
        sessions=ids_of(WITH_MASKS),
        lacking=MISSING_IMAGES,
        criteria=config["selection"],
        class_names=class_names(),
    message:
        "select_sessions: sessions by acquisition, cover, brightness and noise"
    script:
        "../workflow_scripts/select_sessions.py"


# A checkpoint, though nobody asks for what it found: below a job that runs Snakemake does not look whether anything else of
# a job has changed, but below a checkpoint it looks again. Without, networks whose patients have changed stayed as they were.
checkpoint split:
    input:
        library_inputs("split"),
        sheet=with_split(sheet()),
        selection=SELECTION,
    output:
        folds=FOLDS,
    log:
        result("logs/split.log"),
    benchmark:
        result("benchmarks/split.tsv")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        left_out=ids_left_out(),
        lacking=MISSING_IMAGES,
        assignments=[(row.participant_id, row.fold, row.subset) for row in ASSIGNMENTS],
    message:
        "split: patients into test and folds"
    script:
        "../workflow_scripts/split.py"
