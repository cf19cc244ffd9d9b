"""Draw the IoU of each class over the test slices, with what differs from the reference (Figure 8)."""

import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import box_plots, save_figure
from lumbarseg.joblog import job
from lumbarseg.metrics import read_rows

with job(snakemake.log[0]):
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    columns = ["experiment", "participant_id", "session_id", "slice", "class_id", "iou"]
    per_slice, wilcoxon = read_rows([snakemake.input.per_slice], columns), pd.read_csv(snakemake.input.wilcoxon)
    figure = box_plots(per_slice, wilcoxon, params.experiments, labels, params.comparison["significance"])
    save_figure(figure, *snakemake.output)
