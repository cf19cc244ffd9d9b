"""Draw the IoU of ensembles against their number of networks (Figure 9)."""

import pandas as pd

from lumbarseg.figures import iou_against_networks, save_figure
from lumbarseg.joblog import job
from lumbarseg.metrics import mean_iou, over_folds

with job(snakemake.log[0]):
    averages = mean_iou(pd.read_csv(snakemake.input.iou), snakemake.params.background)
    figure = iou_against_networks(over_folds(averages, ["experiment"], "without_background"), snakemake.params.sizes)
    save_figure(figure, *snakemake.output)
