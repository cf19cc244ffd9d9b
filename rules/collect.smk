"""One target a stage: `snakemake train`, `snakemake figures` and so on."""


rule convert:
    input:
        with_sheet(
            *of_sessions(SESSIONS, *map(nifti, CONTRASTS)),
            *of_sessions(LABELLED, MASK),
            LABEL_DESCRIPTIONS,
        ),
    localrule: True


rule register:
    input:
        with_sheet(*of_sessions(SESSIONS, REGISTERED, MATRIX) if "T1w" in CONTRASTS else []),
    localrule: True


rule normalise:
    input:
        with_sheet(*of_sessions(SESSIONS, *map(normalised, CONTRASTS))),
    localrule: True


rule patch:
    input:
        with_sheet(*of_sessions(LABELLED, PATCHES)),
    localrule: True


rule quality:
    input:
        with_sheet(
            QUALITY_PAGE,
            *(table("table_registration") + figure("registration") if "T1w" in CONTRASTS else []),
        ),
    localrule: True


rule select:
    input:
        with_sheet(SELECTION, *table("table_selection")),
    localrule: True


rule train:
    input:
        with_sheet(*of_folds(NETWORK)),
    localrule: True


rule search:
    input:
        with_sheet(result("search/trials.csv"), *table("table_search"), *figure("search")),
    localrule: True


rule stack:
    input:
        with_sheet(*of_folds(META_LEARNER_HISTORY)),
    localrule: True


rule threshold:
    input:
        with_sheet(*of_folds(*of_models(THRESHOLDS, STUDY.models)), THRESHOLD_CURVES),
    localrule: True


rule reconstruct:
    input:
        with_sheet(*of_folds(COUNTS)),
    localrule: True


rule tables:
    input:
        all_tables(),
    localrule: True


rule figures:
    input:
        all_figures(),
    localrule: True


rule bundle:
    input:
        BUNDLE.format(experiment=config["packed"]),
    localrule: True


rule segment:
    input:
        with_bundle(*all_segmentations()),
    localrule: True
