"""Make every table of IoU per class and experiment that the config names, alone and beside the paper's values."""

import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.joblog import job
from lumbarseg.tables import iou_table, published_companion, write_table

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
