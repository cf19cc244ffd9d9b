"""Draw the IoU of each class over the test slices, with what differs from the reference (Figure 8)."""

import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import box_plots, save_figure
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    per_slice, wilcoxon = pd.read_csv(snakemake.input.per_slice), pd.read_csv(snakemake.input.wilcoxon)
    figure = box_plots(per_slice, wilcoxon, params.experiments, labels, params.comparison["significance"])
    save_figure(figure, *snakemake.output)
