"""Draw the IoU of ensembles against their number of networks (Figure 9)."""

import pandas as pd

from lumbarseg.evaluation.metrics import mean_iou, over_folds
from lumbarseg.reporting.figures.curves import iou_against_networks
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    averages = mean_iou(pd.read_csv(snakemake.input.iou), snakemake.params.background)
    figure = iou_against_networks(over_folds(averages, ["experiment"], "without_background"), snakemake.params.sizes)
    save_figure(figure, *snakemake.output)
