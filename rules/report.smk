"""Tables, figures and the page of results (Sections 5.5 and 6)."""


rule cohort_tables:
    input:
        code("cohort_tables", "tables"),
        folds=result("folds.tsv"),
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
        "../envs/lumbarseg.yaml"
    params:
        channels=CONTRASTS,
        side=config["patches"]["side"],
    message:
        "cohort_tables: patients, acquisition and data set (Tables 1 to 3)"
    script:
        "../workflow_scripts/cohort_tables.py"


rule iou_tables:
    input:
        code("iou_tables", "tables", "metrics"),
        iou=result("metrics/iou.csv"),
    output:
        [path for name in iou_table_columns() for path in table(name)],
    log:
        result("logs/iou_tables.log"),
    benchmark:
        result("benchmarks/iou_tables.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        paths=[table(name) for name in iou_table_columns()],
        columns=iou_table_columns(),
        classes=config["classes"],
        background=config["background"],
    message:
        "iou_tables: IoU of each class and experiment"
    script:
        "../workflow_scripts/iou_tables.py"


rule figure_examples:
    input:
        code("figure_examples", "figures", "geometry", "patches"),
        t2w=of_sessions(LABELLED[:1], nifti("T2w")),
        t1w=(of_sessions(LABELLED[:1], nifti("T1w"), REGISTERED) if "T1w" in CONTRASTS else []),
        normalised=[path for contrast in CONTRASTS for path in of_sessions(LABELLED[:1], normalised(contrast))],
        mask=of_sessions(LABELLED[:1], MASK),
    output:
        fig_2=figure("fig_2"),
        fig_3=figure("fig_3"),
    log:
        result("logs/figure_examples.log"),
    benchmark:
        result("benchmarks/figure_examples.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        patches=config["patches"],
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_examples: labelled slices (Figure 2) and the steps from images to patches (Figure 3)"
    script:
        "../workflow_scripts/figure_examples.py"


rule figure_cases:
    input:
        code("figure_cases", "figures", "geometry"),
        per_slice=result("metrics/iou_per_slice.csv"),
        t2w=of_sessions(subset(1, "test"), nifti("T2w")),
        t1w=of_sessions(subset(1, "test"), REGISTERED) if "T1w" in CONTRASTS else [],
        truth=of_sessions(subset(1, "test"), MASK),
        masks=[result(f"masks/{experiment}/fold-1") for experiment in config["figures"]["cases"]],
    output:
        figure("fig_7"),
    log:
        result("logs/figure_cases.log"),
    benchmark:
        result("benchmarks/figure_cases.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sessions=[(session.participant_id, session.session_id) for session in subset(1, "test")],
        experiments=config["figures"]["cases"],
        classes=config["classes"],
        background=config["background"],
    message:
        "figure_cases: best, median and worst slice (Figure 7)"
    script:
        "../workflow_scripts/figure_cases.py"


rule figure_box_plots:
    input:
        code("figure_box_plots", "figures"),
        per_slice=result("metrics/iou_per_slice.csv"),
        wilcoxon=result("metrics/wilcoxon.csv"),
    output:
        figure("fig_8"),
    log:
        result("logs/figure_box_plots.log"),
    benchmark:
        result("benchmarks/figure_box_plots.tsv")
    conda:
        "../envs/lumbarseg.yaml"
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
        code("figure_ensembles", "figures", "metrics"),
        iou=result("metrics/iou.csv"),
    output:
        figure("fig_9"),
    log:
        result("logs/figure_ensembles.log"),
    benchmark:
        result("benchmarks/figure_ensembles.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        sizes={name: len(members) for name, members in STUDY.ensembles.items()},
        background=config["background"],
    message:
        "figure_ensembles: IoU against the number of networks (Figure 9)"
    script:
        "../workflow_scripts/figure_ensembles.py"


rule figure_networks:
    input:
        code("figure_networks", "figures"),
        blocks=result("metrics/network_blocks.csv"),
    output:
        [path for topology in STUDY.networks for path in figure(f"network_{topology}")],
    log:
        result("logs/figure_networks.log"),
    benchmark:
        result("benchmarks/figure_networks.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        topologies=STUDY.networks,
    message:
        "figure_networks: the blocks of each network and the tensors between them (Figures 4 and 5)"
    script:
        "../workflow_scripts/figure_networks.py"


rule figure_learning:
    input:
        code("figure_learning", "figures"),
        histories=of_folds(HISTORY),
    output:
        loss=figure("learning_loss"),
        accuracy=figure("learning_accuracy"),
        patch_iou=figure("learning_iou"),
    log:
        result("logs/figure_learning.log"),
    benchmark:
        result("benchmarks/figure_learning.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        trainings=[(topology, fold) for fold in STUDY.folds for topology in STUDY.networks],
        best_epoch_by=config["training"]["best_epoch_by"],
    message:
        "figure_learning: loss, accuracy and IoU by epoch"
    script:
        "../workflow_scripts/figure_learning.py"


rule figure_thresholds:
    input:
        code("figure_thresholds", "figures"),
        curves=THRESHOLD_CURVES,
    output:
        figure("threshold_curves"),
    log:
        result("logs/figure_thresholds.log"),
    benchmark:
        result("benchmarks/figure_thresholds.tsv")
    conda:
        "../envs/lumbarseg.yaml"
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
        code("figure_calibration", "figures"),
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
        code("figure_uncertainty", "figures", "geometry", "uncertainty"),
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
        code("usage", "usage", "tables"),
        **benchmarks_by_rule(),
        networks=result("metrics/networks.csv"),
        histories=of_folds(HISTORY),
        heads=of_folds(HEAD_HISTORY) if STUDY.heads else [],
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
        code("results_page", "results_page", "results_page.html", "metrics"),
        tables=all_tables(),
        figures=all_figures(),
        iou=result("metrics/iou.csv"),
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
        "../envs/lumbarseg.yaml"
    params:
        study=config["study"],
        background=config["background"],
        facts=facts(),
    message:
        "results_page: tables and figures on one page"
    script:
        "../workflow_scripts/results_page.py"
