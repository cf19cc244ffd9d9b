"""IoU and its statistics from the counts (Sections 5.5 and 6)."""


rule evaluate:
    input:
        code("evaluate", "metrics", "statistics"),
        counts=of_folds(COUNTS),
        # Asked for by name, so that an experiment added to the config is made.
        masks=of_folds(*masks_of_experiments()),
    output:
        iou=result("metrics/iou.csv"),
        per_slice=result("metrics/iou_per_slice.csv"),
        wilcoxon=result("metrics/wilcoxon.csv"),
    log:
        result("logs/evaluate.log"),
    benchmark:
        result("benchmarks/evaluate.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    params:
        classes=config["classes"],
        background=config["background"],
        reference=config["comparison"]["reference"],
    message:
        "evaluate: IoU of every experiment, and how it compares with {params.reference}"
    script:
        "../workflow_scripts/evaluate.py"


rule calibration:
    input:
        code("calibration", "calibration", "labelling"),
        sums=of_folds(CALIBRATION_SUMS),
    output:
        calibration=CALIBRATION,
        errors=CALIBRATION_ERRORS,
    log:
        result("logs/calibration.log"),
    benchmark:
        result("benchmarks/calibration.tsv")
    conda:
        "../envs/lumbarseg.yaml"
    params:
        classes=class_names(),
    message:
        "calibration: how far scores can be taken for probabilities"
    script:
        "../workflow_scripts/calibration.py"
