"""Put the counts of all folds together: IoU, per slice and per fold, and the statistical comparison."""

import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.files import whole
from lumbarseg.joblog import job
from lumbarseg.metrics import fold_iou, slice_iou
from lumbarseg.statistics import wilcoxon

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    identifiers = {"participant_id": str, "session_id": str}
    counts = pd.concat([pd.read_csv(path, dtype=identifiers) for path in snakemake.input.counts], ignore_index=True)
    per_slice = slice_iou(counts)
    frames = {
        snakemake.output.iou: fold_iou(counts, labels),
        snakemake.output.per_slice: per_slice,
        snakemake.output.wilcoxon: wilcoxon(per_slice, snakemake.params.reference),
    }
    for path, frame in frames.items():
        with whole(path) as temporary:
            frame.to_csv(temporary, index=False)
