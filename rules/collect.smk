"""One target a stage: `snakemake train`, `snakemake figures` and so on."""


rule convert:
    input:
        plan.with_sheet(
            *of_sessions(plan.sessions, *map(paths.nifti, plan.channels)),
            *of_sessions(plan.labelled, paths.mask),
            paths.label_descriptions,
        ),
    localrule: True


rule register:
    input:
        plan.with_sheet(
            *of_sessions(plan.sessions, paths.registered, paths.registration_matrix) if plan.has_t1w else []
        ),
    localrule: True


rule normalise:
    input:
        plan.with_sheet(*of_sessions(plan.sessions, *map(paths.normalised, plan.channels))),
    localrule: True


rule patch:
    input:
        plan.with_sheet(*of_sessions(plan.labelled, paths.patches, *map(paths.patch_arrays, ["images", "labels"]))),
    localrule: True


rule quality:
    input:
        plan.with_sheet(
            paths.quality_page,
            *(paths.table("table_registration") + paths.figure("registration") if plan.has_t1w else []),
        ),
    localrule: True


rule select:
    input:
        plan.with_sheet(paths.selection, *paths.table("table_selection")),
    localrule: True


rule train:
    input:
        plan.with_sheet(*plan.of_folds(paths.network)),
    localrule: True


rule search:
    input:
        plan.with_sheet(
            paths.result("search/trials.csv"),
            *paths.table("table_search"),
            *paths.figure("search"),
        ),
    localrule: True


rule stack:
    input:
        plan.with_sheet(*plan.of_folds(paths.meta_learner_history)),
    localrule: True


rule threshold:
    input:
        plan.with_sheet(*plan.of_folds(*plan.of_models(paths.thresholds)), paths.metrics("threshold_curves.csv")),
    localrule: True


rule reconstruct:
    input:
        plan.with_sheet(*plan.of_folds(paths.counts)),
    localrule: True


rule tables:
    input:
        results.all_tables,
    localrule: True


rule figures:
    input:
        results.all_figures,
    localrule: True


rule bundle:
    input:
        paths.packed_bundle.format(experiment=config["bundle_experiment"]),
    localrule: True


rule segment:
    input:
        plan.with_bundle(*plan.segmentations()),
    localrule: True


rule starter:
    input:
        expand(paths.starter_bundle, contrasts=["T2w", "T2w_T1w"]),
    localrule: True


rule draft:
    input:
        plan.with_drafts(
            paths.drafts_page,
            *paths.draft_list,
            *of_sessions(plan.without_masks, paths.draft("draft.json")),
        ),
    localrule: True


rule corrections:
    input:
        plan.with_drafts(
            paths.metrics("corrections.csv"),
            *paths.table("table_corrections"),
            *paths.figure("corrections"),
        ),
    localrule: True
