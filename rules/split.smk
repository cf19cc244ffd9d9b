"""Patients to folds (Section 3, Table 3). All images and masks are checked by then: nothing heavy starts before."""


rule split:
    input:
        code("split", "acquisition", "cohort", "geometry"),
        sheet=with_split(sheet()),
        # A patch or an image made anew moves no patient to another fold, so their time stamps do not count.
        patches=ancient(of_sessions(LABELLED, PATCHES)),
        images=ancient([path for session in LABELLED for path in of_sessions([session], *map(nifti, CONTRASTS))]),
        sidecars=ancient([path for session in LABELLED for path in of_sessions([session], *map(sidecar, CONTRASTS))]),
    output:
        folds=result("folds.tsv"),
        cohort=result("metrics/cohort.csv"),
    log:
        result("logs/split.log"),
    benchmark:
        result("benchmarks/split.tsv")
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        channels=CONTRASTS,
        labels=[(session.participant_id, session.session_id) for session in LABELLED],
        assignments=[(row.participant_id, row.fold, row.subset) for row in ASSIGNMENTS],
    message:
        "split: patients into test and folds"
    script:
        "../workflow_scripts/split.py"
