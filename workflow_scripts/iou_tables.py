"""Make every table of IoU per class and experiment that the config names, alone and beside the paper's values."""

import pandas as pd

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.tables.iou import iou_table, published_companion
from lumbarseg.reporting.tables.writing import write_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    iou = pd.read_csv(snakemake.input.iou, keep_default_na=False, na_values={"iou": [""]})
    for name, experiments in params.columns.items():
        table = iou_table(iou, experiments, labels, params.folds)
        write_table(table, *params.paths[name])
        if name in params.companions:
            write_table(published_companion(table, name), *params.companions[name])
        logger.info("%s: %d experiments", name, len(experiments))
