"""Tables, figures and the page of results (Sections 5.5 and 6)."""


rule cohort_tables:
    input:
        library_inputs("cohort_tables"),
        folds=FOLDS,
        cohort=result("metrics/cohort.csv"),
    output:
        table_1=table("table_1"),
        table_2=table("table_2"),
        table_3=table("table_3"),
    log:
        result("logs/cohort_tables.log"),
    benchmark:
        result("benchmarks/cohort_tables.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        channels=CONTRASTS,
        side=config["patches"]["patch_size"],
    message:
        "cohort_tables: patients, acquisition and data set (Tables 1 to 3)"
    script:
        "../workflow_scripts/cohort_tables.py"


rule settings_tables:
    input:
        library_inputs("settings_tables"),
        networks=result("metrics/networks.csv"),
    output:
        table_4=table("table_4"),
        table_5=table("table_5"),
        table_6=table("table_6"),
    log:
        result("logs/settings_tables.log"),
    benchmark:
        result("benchmarks/settings_tables.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        topologies={name: STUDY.topology(name) for name in STUDY.networks},
        ensembles=STUDY.ensembles,
        meta_learners=STUDY.stacking_combiners,
        stacking=config["stacking"],
    message:
        "settings_tables: networks, ensembles and stacking models (Tables 4 to 6)"
    script:
        "../workflow_scripts/settings_tables.py"


rule iou_tables:
    input:
        library_inputs("iou_tables"),
        iou=result("metrics/iou.csv"),
    output:
        [path for name in iou_table_columns() for path in table(name)],
        [path for paths in companions().values() for path in paths],
    log:
        result("logs/iou_tables.log"),
    benchmark:
        result("benchmarks/iou_tables.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        paths={name: table(name) for name in iou_table_columns()},
        companions=companions(),
        columns=iou_table_columns(),
        folds=STUDY.folds,
        classes=config["classes"],
        background=config["background"],
    message:
        "iou_tables: IoU of each class and experiment, alone and beside the paper's"
    script:
        "../workflow_scripts/iou_tables.py"


rule comparison_tables:
    input:
        library_inputs("comparison_tables"),
        iou=result("metrics/iou.csv"),
        wilcoxon=result("metrics/wilcoxon.csv"),
        ranking=result("metrics/ranking.csv"),
        distances=result("metrics/surface_distances.csv") if measured() else [],
    output:
        **({"table_measures": table("table_measures")} if measured() else {}),
        table_wilcoxon_slice=table("table_wilcoxon_slice"),
        table_wilcoxon_patient=table("table_wilcoxon_patient"),
        table_ranking=table("table_ranking"),
    log:
        result("logs/comparison_tables.log"),
    benchmark:
        result("benchmarks/comparison_tables.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        compared=STUDY.columns(config["figures"]["box_plots"]),
        measured=measured(),
        classes=config["classes"],
        background=config["background"],
    message:
        "comparison_tables: other measures, differences from the reference, and the ranking"
    script:
        "../workflow_scripts/comparison_tables.py"


rule figure_examples:
    input:
        library_inputs("figure_examples"),
        labelled=EXAMPLES,
        steps=PREPROCESSING_SLICES,
    output:
        fig_2=figure("fig_2"),
        fig_3=figure("fig_3"),
    log:
        result("logs/figure_examples.log"),
    benchmark:
        result("benchmarks/figure_examples.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_examples: labelled slices (Figure 2) and the steps from images to patches (Figure 3)"
    script:
        "../workflow_scripts/figure_examples.py"


rule figure_cases:
    input:
        library_inputs("figure_cases"),
        cases=CASES,
    output:
        figure("fig_7"),
    log:
        result("logs/figure_cases.log"),
    benchmark:
        result("benchmarks/figure_cases.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_cases: best, median and worst slice (Figure 7)"
    script:
        "../workflow_scripts/figure_cases.py"


rule figure_errors:
    input:
        library_inputs("figure_errors"),
        worst=worst_slices().values(),
    output:
        [path for experiment in worst_slices() for path in figure(f"errors_{experiment}")],
    log:
        result("logs/figure_errors.log"),
    benchmark:
        result("benchmarks/figure_errors.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_errors: where the worst slices are wrong"
    script:
        "../workflow_scripts/figure_errors.py"


rule figure_comparison:
    input:
        library_inputs("figure_comparison"),
        ranking=result("metrics/ranking.csv"),
        per_patient=result("metrics/iou_per_patient.csv") if measured() else [],
        confusion=result("metrics/confusion.csv") if measured() else [],
    output:
        **({name: figure(name) for name in ("patients", "confusion")} if measured() else {}),
        ranking=figure("ranking"),
    log:
        result("logs/figure_comparison.log"),
    benchmark:
        result("benchmarks/figure_comparison.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        measured=measured(),
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_comparison: ranks, patients, and which classes are taken for which"
    script:
        "../workflow_scripts/figure_comparison.py"


rule figure_box_plots:
    input:
        library_inputs("figure_box_plots"),
        per_slice=result("metrics/iou_per_slice.csv"),
        wilcoxon=result("metrics/wilcoxon.csv"),
    output:
        figure("fig_8"),
    log:
        result("logs/figure_box_plots.log"),
    benchmark:
        result("benchmarks/figure_box_plots.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        experiments=config["figures"]["box_plots"],
        comparison=config["comparison"],
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_box_plots: IoU of each class over the test slices (Figure 8)"
    script:
        "../workflow_scripts/figure_box_plots.py"


rule figure_ensembles:
    input:
        library_inputs("figure_ensembles"),
        iou=result("metrics/iou.csv"),
    output:
        figure("fig_9"),
    log:
        result("logs/figure_ensembles.log"),
    benchmark:
        result("benchmarks/figure_ensembles.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        sizes={name: len(members) for name, members in STUDY.ensembles.items()},
        background=config["background"],
    message:
        "figure_ensembles: IoU against the number of networks (Figure 9)"
    script:
        "../workflow_scripts/figure_ensembles.py"


rule figure_networks:
    input:
        library_inputs("figure_networks"),
        blocks=result("metrics/network_blocks.csv"),
    output:
        [path for topology in STUDY.networks for path in figure(f"network_{topology}")],
    log:
        result("logs/figure_networks.log"),
    benchmark:
        result("benchmarks/figure_networks.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        topologies=STUDY.networks,
    message:
        "figure_networks: the blocks of each network and the tensors between them (Figures 4 and 5)"
    script:
        "../workflow_scripts/figure_networks.py"


rule figure_learning:
    input:
        library_inputs("figure_learning"),
        histories=HISTORIES,
    output:
        loss=figure("learning_loss"),
        accuracy=figure("learning_accuracy"),
        patch_iou=figure("learning_iou"),
    log:
        result("logs/figure_learning.log"),
    benchmark:
        result("benchmarks/figure_learning.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        monitor=config["training"]["monitor"],
    message:
        "figure_learning: loss, accuracy and IoU by epoch"
    script:
        "../workflow_scripts/figure_learning.py"


rule figure_thresholds:
    input:
        library_inputs("figure_thresholds"),
        curves=THRESHOLD_CURVES,
    output:
        figure("threshold_curves"),
    log:
        result("logs/figure_thresholds.log"),
    benchmark:
        result("benchmarks/figure_thresholds.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        models=[model.name for model in shown_models()],
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_thresholds: IoU against the threshold of each class"
    script:
        "../workflow_scripts/figure_thresholds.py"


rule figure_calibration:
    input:
        library_inputs("figure_calibration"),
        calibration=CALIBRATION,
        errors=CALIBRATION_ERRORS,
    output:
        figure("calibration"),
    log:
        result("logs/figure_calibration.log"),
    benchmark:
        result("benchmarks/figure_calibration.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        models=[model.name for model in shown_models()],
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_calibration: reliability diagram of each class"
    script:
        "../workflow_scripts/figure_calibration.py"


rule figure_uncertainty:
    input:
        library_inputs("figure_uncertainty"),
        per_slice=result("metrics/iou_per_slice.csv"),
        t2w=of_sessions(subset(1, "test"), nifti("T2w")),
        truth=of_sessions(subset(1, "test"), MASK),
        masks=result(f"masks/{config['uncertainty']['experiment']}/fold-1"),
        maps=result(f"uncertainty/{uncertain_model()}/fold-1"),
    output:
        figure("uncertainty"),
    log:
        result("logs/figure_uncertainty.log"),
    benchmark:
        result("benchmarks/figure_uncertainty.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=[(session.participant_id, session.session_id) for session in subset(1, "test")],
        experiment=config["uncertainty"]["experiment"],
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_uncertainty: where {params.experiment} is unsure and where it is wrong"
    script:
        "../workflow_scripts/figure_uncertainty.py"


rule usage:
    input:
        library_inputs("usage"),
        **benchmarks_by_rule(),
        networks=result("metrics/networks.csv"),
        histories=of_folds(HISTORY),
        meta_learners=of_folds(META_LEARNER_HISTORY) if STUDY.meta_learners else [],
    output:
        table("table_usage"),
    log:
        result("logs/usage.log"),
    benchmark:
        result("benchmarks/usage.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        rules=list(benchmarks_by_rule()),
        topologies=[topology for fold in STUDY.folds for topology in STUDY.networks],
    message:
        "usage: what the study cost by stage"
    script:
        "../workflow_scripts/usage.py"


rule results_page:
    input:
        library_inputs("results_page"),
        tables=all_tables(),
        figures=all_figures(),
        cohort=result("metrics/cohort.csv"),
        ranking=result("metrics/ranking.csv"),
        worst_cases=result("metrics/worst_cases.csv"),
        machine=result("metrics/machine.json"),
        networks=result("metrics/networks.csv"),
    output:
        report(
            result("report/results.html"),
            caption="report/results.rst",
            category="Results",
        ),
    log:
        result("logs/results_page.log"),
    benchmark:
        result("benchmarks/results_page.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        study=config["study"],
        facts=facts(),
        differences_from=differences_from(),
    message:
        "results_page: tables and figures on one page"
    script:
        "../workflow_scripts/results_page.py"
