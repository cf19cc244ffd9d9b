"""Tables, figures and the page of results (Sections 5.5 and 6)."""


rule cohort_tables:
    input:
        library_inputs("cohort_tables"),
        folds=paths.folds,
        cohort=paths.metrics("cohort.csv"),
    output:
        table_1=paths.table("table_1"),
        table_2=paths.table("table_2"),
        table_3=paths.table("table_3"),
    log:
        paths.log("cohort_tables"),
    benchmark:
        paths.benchmark("cohort_tables")
    conda:
        "../envs/figures.yaml"
    params:
        channels=plan.channels,
        side=config["patches"]["patch_size"],
    message:
        "cohort_tables: patients, acquisition and data set (Tables 1 to 3)"
    script:
        "../workflow_scripts/cohort_tables.py"


rule settings_tables:
    input:
        library_inputs("settings_tables"),
        networks=paths.metrics("networks.csv"),
    output:
        table_4=paths.table("table_4"),
        table_5=paths.table("table_5"),
        table_6=paths.table("table_6"),
    log:
        paths.log("settings_tables"),
    benchmark:
        paths.benchmark("settings_tables")
    conda:
        "../envs/figures.yaml"
    params:
        topologies=plan.topologies,
        ensembles=plan.study.ensembles,
        meta_learners=plan.study.stacking_combiners,
        stacking=config["stacking"],
    message:
        "settings_tables: networks, ensembles and stacking models (Tables 4 to 6)"
    script:
        "../workflow_scripts/settings_tables.py"


rule iou_tables:
    input:
        library_inputs("iou_tables"),
        iou=paths.metrics("iou.csv"),
    output:
        [path for name in iou_table_columns() for path in paths.table(name)],
        [path for paths in companions().values() for path in paths],
    log:
        paths.log("iou_tables"),
    benchmark:
        paths.benchmark("iou_tables")
    conda:
        "../envs/figures.yaml"
    params:
        paths={name: paths.table(name) for name in iou_table_columns()},
        companions=companions(),
        columns=iou_table_columns(),
        folds=plan.study.folds,
        classes=config["classes"],
        background=config["background"],
    message:
        "iou_tables: IoU of each class and experiment, alone and beside the paper's"
    script:
        "../workflow_scripts/iou_tables.py"


rule comparison_tables:
    input:
        library_inputs("comparison_tables"),
        iou=paths.metrics("iou.csv"),
        wilcoxon=paths.metrics("wilcoxon.csv"),
        ranking=paths.metrics("ranking.csv"),
        distances=paths.metrics("surface_distances.csv") if plan.measured else [],
    output:
        **({"table_measures": paths.table("table_measures")} if plan.measured else {}),
        table_wilcoxon_slice=paths.table("table_wilcoxon_slice"),
        table_wilcoxon_patient=paths.table("table_wilcoxon_patient"),
        table_ranking=paths.table("table_ranking"),
    log:
        paths.log("comparison_tables"),
    benchmark:
        paths.benchmark("comparison_tables")
    conda:
        "../envs/figures.yaml"
    params:
        compared=plan.study.columns(config["figures"]["box_plots"]),
        measured=plan.measured,
        classes=config["classes"],
        background=config["background"],
    message:
        "comparison_tables: other measures, differences from the reference, and the ranking"
    script:
        "../workflow_scripts/comparison_tables.py"


rule figure_examples:
    input:
        library_inputs("figure_examples"),
        labelled=paths.slices("examples"),
        steps=paths.slices("preprocessing"),
    output:
        fig_2=paths.figure("fig_2"),
        fig_3=paths.figure("fig_3"),
    log:
        paths.log("figure_examples"),
    benchmark:
        paths.benchmark("figure_examples")
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
        cases=paths.slices("cases"),
    output:
        paths.figure("fig_7"),
    log:
        paths.log("figure_cases"),
    benchmark:
        paths.benchmark("figure_cases")
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
        worst=plan.worst_slices().values(),
    output:
        [path for experiment in plan.worst_slices() for path in paths.figure(f"errors_{experiment}")],
    log:
        paths.log("figure_errors"),
    benchmark:
        paths.benchmark("figure_errors")
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
        ranking=paths.metrics("ranking.csv"),
        per_patient=paths.metrics("iou_per_patient.csv") if plan.measured else [],
        confusion=paths.metrics("confusion.csv") if plan.measured else [],
    output:
        **({name: paths.figure(name) for name in ("patients", "confusion")} if plan.measured else {}),
        ranking=paths.figure("ranking"),
    log:
        paths.log("figure_comparison"),
    benchmark:
        paths.benchmark("figure_comparison")
    conda:
        "../envs/figures.yaml"
    params:
        measured=plan.measured,
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_comparison: ranks, patients, and which classes are taken for which"
    script:
        "../workflow_scripts/figure_comparison.py"


rule figure_box_plots:
    input:
        library_inputs("figure_box_plots"),
        per_slice=paths.metrics("iou_per_slice.csv"),
        wilcoxon=paths.metrics("wilcoxon.csv"),
    output:
        paths.figure("fig_8"),
    log:
        paths.log("figure_box_plots"),
    benchmark:
        paths.benchmark("figure_box_plots")
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
        iou=paths.metrics("iou.csv"),
    output:
        paths.figure("fig_9"),
    log:
        paths.log("figure_ensembles"),
    benchmark:
        paths.benchmark("figure_ensembles")
    conda:
        "../envs/figures.yaml"
    params:
        sizes={name: len(members) for name, members in plan.study.ensembles.items()},
        background=config["background"],
    message:
        "figure_ensembles: IoU against the number of networks (Figure 9)"
    script:
        "../workflow_scripts/figure_ensembles.py"


rule figure_networks:
    input:
        library_inputs("figure_networks"),
        blocks=paths.metrics("network_blocks.csv"),
    output:
        [path for topology in plan.study.networks for path in paths.figure(f"network_{topology}")],
    log:
        paths.log("figure_networks"),
    benchmark:
        paths.benchmark("figure_networks")
    conda:
        "../envs/figures.yaml"
    params:
        topologies=plan.study.networks,
    message:
        "figure_networks: the blocks of each network and the tensors between them (Figures 4 and 5)"
    script:
        "../workflow_scripts/figure_networks.py"


rule figure_learning:
    input:
        library_inputs("figure_learning"),
        histories=paths.metrics("histories.csv"),
    output:
        loss=paths.figure("learning_loss"),
        accuracy=paths.figure("learning_accuracy"),
        patch_iou=paths.figure("learning_iou"),
    log:
        paths.log("figure_learning"),
    benchmark:
        paths.benchmark("figure_learning")
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
        curves=paths.metrics("threshold_curves.csv"),
    output:
        paths.figure("threshold_curves"),
    log:
        paths.log("figure_thresholds"),
    benchmark:
        paths.benchmark("figure_thresholds")
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
        calibration=paths.metrics("calibration.csv"),
        errors=paths.metrics("calibration_errors.csv"),
    output:
        paths.figure("calibration"),
    log:
        paths.log("figure_calibration"),
    benchmark:
        paths.benchmark("figure_calibration")
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
        per_slice=paths.metrics("iou_per_slice.csv"),
        t2w=of_sessions(plan.subset(1, "test"), paths.nifti("T2w")),
        truth=of_sessions(plan.subset(1, "test"), paths.mask),
        masks=paths.result(f"masks/{config['uncertainty']['experiment']}/fold-1"),
        maps=paths.result(f"uncertainty/{plan.uncertain_model}/fold-1"),
    output:
        paths.figure("uncertainty"),
    log:
        paths.log("figure_uncertainty"),
    benchmark:
        paths.benchmark("figure_uncertainty")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=[(session.participant_id, session.session_id) for session in plan.subset(1, "test")],
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
        **plan.benchmarks_by_rule(),
        networks=paths.metrics("networks.csv"),
        histories=plan.of_folds(paths.history),
        meta_learners=plan.of_folds(paths.meta_learner_history) if plan.study.meta_learners else [],
    output:
        paths.table("table_usage"),
    log:
        paths.log("usage"),
    benchmark:
        paths.benchmark("usage")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        rules=list(plan.benchmarks_by_rule()),
        topologies=[topology for fold in plan.study.folds for topology in plan.study.networks],
    message:
        "usage: what the study cost by stage"
    script:
        "../workflow_scripts/usage.py"


rule results_page:
    input:
        library_inputs("results_page"),
        tables=all_tables(),
        figures=all_figures(),
        cohort=paths.metrics("cohort.csv"),
        ranking=paths.metrics("ranking.csv"),
        worst_cases=paths.metrics("worst_cases.csv"),
        machine=paths.metrics("machine.json"),
        networks=paths.metrics("networks.csv"),
    output:
        report(
            paths.result("report/results.html"),
            caption="report/results.rst",
            category="Results",
        ),
    log:
        paths.log("results_page"),
    benchmark:
        paths.benchmark("results_page")
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
