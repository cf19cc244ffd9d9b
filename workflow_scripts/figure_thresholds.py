"""Draw the IoU on the validation slices against each class's threshold."""

import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import save_figure, threshold_curves
from lumbarseg.files import read_json
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    rows = [
        (content["model"], content["fold"], name, value, iou, value == content["thresholds"][name])
        for content in map(read_json, snakemake.input.thresholds)
        for name, values in content["iou"].items()
        for value, iou in zip(content["values"], values, strict=True)
    ]
    curves = pd.DataFrame(rows, columns=["model", "fold", "class_name", "threshold", "iou", "chosen"])
    save_figure(threshold_curves(curves, LabelTable(params.classes, params.background)), *snakemake.output)
