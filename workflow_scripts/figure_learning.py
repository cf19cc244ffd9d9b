"""Draw loss, accuracy and IoU by epoch of each network and fold."""

import pandas as pd

from lumbarseg.figures import learning_curves, save_figure
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    trainings = zip(snakemake.params.trainings, snakemake.input.histories, strict=True)
    histories = [pd.read_csv(path).assign(topology=topology, fold=fold) for (topology, fold), path in trainings]
    best_by = {"accuracy": "val_accuracy", "mean_iou": "val_patch_iou"}[snakemake.params.best_epoch_by]
    together = pd.concat(histories, ignore_index=True)
    for measure in ("loss", "accuracy", "patch_iou"):
        save_figure(learning_curves(together, measure, best_by), *snakemake.output.get(measure))
