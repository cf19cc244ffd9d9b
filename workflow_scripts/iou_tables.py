"""Make every table of IoU per class and experiment that the config names."""

import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.joblog import job
from lumbarseg.tables import iou_table, write_table

with job(snakemake.log[0]) as logger:
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    iou = pd.read_csv(snakemake.input.iou)
    for (name, experiments), paths in zip(snakemake.params.columns.items(), snakemake.params.paths, strict=True):
        means, deviations, footnotes = iou_table(iou, experiments, labels)
        caption = "IoU per class in per cent (equations 3 and 4), mean and standard deviation over the folds."
        write_table(means, *paths, caption, sd=deviations, footnotes=footnotes)
        logger.info("%s: %d experiments", name, len(experiments))
