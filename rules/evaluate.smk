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
        mem_mb=16000,
        runtime=60,
    params:
        classes=config["classes"],
        background=config["background"],
        reference=config["comparison"]["reference"],
    message:
        "evaluate: IoU of every experiment, and how it compares with {params.reference}"
    script:
        "../workflow_scripts/evaluate.py"
