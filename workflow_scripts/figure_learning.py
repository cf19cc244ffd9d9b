"""Draw loss, accuracy and IoU by epoch of each network and fold."""

import pandas as pd

from lumbarseg.reporting.figures.curves import learning_curves
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    best_by = {"accuracy": "val_accuracy", "mean_iou": "val_patch_iou"}[snakemake.params.monitor]
    histories = pd.read_csv(snakemake.input.histories)
    for measure in ("loss", "accuracy", "patch_iou"):
        save_figure(learning_curves(histories, measure, best_by), *snakemake.output.get(measure))
