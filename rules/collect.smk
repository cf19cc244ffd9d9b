"""One target a stage: `snakemake train`, `snakemake figures` and so on."""


rule convert:
    input:
        [
            path
            for contrast in CONTRASTS
            for path in of_sessions(SESSIONS, nifti(contrast))
        ],
        of_sessions(LABELLED, MASK),
    localrule: True


rule register:
    input:
        of_sessions(SESSIONS, REGISTERED, MATRIX) if "T1w" in CONTRASTS else [],
    localrule: True


rule normalise:
    input:
        [
            path
            for contrast in CONTRASTS
            for path in of_sessions(SESSIONS, normalised(contrast))
        ],
    localrule: True


rule patch:
    input:
        of_sessions(LABELLED, PATCHES),
    localrule: True


rule train:
    input:
        of_folds(NETWORK),
    localrule: True


rule stack:
    input:
        of_folds(HEAD_HISTORY),
    localrule: True


rule threshold:
    input:
        of_folds(*of_models(THRESHOLDS, STUDY.models)),
    localrule: True


rule reconstruct:
    input:
        of_folds(COUNTS),
    localrule: True


rule tables:
    input:
        all_tables(),
    localrule: True


rule figures:
    input:
        all_figures(),
    localrule: True
