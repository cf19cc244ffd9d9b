"""Patients to folds (Section 3, Table 3). All images and masks are checked by then: nothing heavy starts before."""


rule split:
    input:
        code("split", "cohort"),
        # A patch made anew moves no patient to another fold, so its time stamp does not count.
        ancient(of_sessions(LABELLED, PATCHES)),
        sheet=sheet(),
        sidecars=ancient(
            [
                path
                for contrast in CONTRASTS
                for path in of_sessions(LABELLED, sidecar(contrast))
            ]
        ),
    output:
        folds=result("folds.tsv"),
        cohort=result("metrics/cohort.csv"),
    log:
        result("logs/split.log"),
    benchmark:
        result("benchmarks/split.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    localrule: True
    params:
        split=config["split"],
        channels=CONTRASTS,
        patches=of_sessions(LABELLED, PATCHES),
        labels=[(session.participant_id, session.session_id) for session in LABELLED],
        assignments=[(row.participant_id, row.fold, row.subset) for row in ASSIGNMENTS],
    message:
        "split: patients into test and folds"
    script:
        "../workflow_scripts/split.py"
