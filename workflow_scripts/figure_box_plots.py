"""Draw the IoU of each class over the test slices, with what differs from the reference (Figure 8)."""

import pandas as pd

from lumbarseg.evaluation.metrics import read_rows
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.boxes import box_plots
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    columns = ["experiment", "participant_id", "session_id", "slice", "class_id", "iou"]
    per_slice, wilcoxon = read_rows([snakemake.input.per_slice], columns), pd.read_csv(snakemake.input.wilcoxon)
    figure = box_plots(per_slice, wilcoxon, params.experiments, labels, params.comparison["significance"])
    save_figure(figure, *snakemake.output)
