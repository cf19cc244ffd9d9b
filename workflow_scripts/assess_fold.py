"""Assess the masks of chosen experiments of a fold against the truth: distances between contours, and which classes are taken for which."""

from pathlib import Path

import numpy as np
import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.evaluation.confusion import confusion_rows
from lumbarseg.evaluation.metrics import confusion_per_slice
from lumbarseg.evaluation.surface_distance import slice_distances
from lumbarseg.geometry import read_view
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params, fold = snakemake.params, int(snakemake.wildcards.fold)
    labels = LabelTable(params.classes, params.background)
    distances, confusions = [], []
    for experiment, folder in zip(params.experiments, snakemake.input.masks, strict=True):
        confusion = np.zeros((len(labels), len(labels)), np.int64)
        for (participant, session), path in zip(params.sessions, snakemake.input.truth, strict=True):
            truth, spacing = read_view(path)
            predicted, _ = read_view(Path(folder) / f"sub-{participant}_ses-{session}_dseg.nii.gz")
            identity = {"experiment": experiment, "fold": fold, "participant_id": participant, "session_id": session}
            distances.append(slice_distances(truth, predicted, labels.foreground_ids, spacing, **identity))
            confusion += confusion_per_slice(truth, predicted, len(labels)).sum(axis=0)
        confusions.append(confusion_rows(confusion, experiment, fold))
        logger.info("%s: %d sessions", experiment, len(params.sessions))
    for path, frames in ((snakemake.output.distances, distances), (snakemake.output.confusion, confusions)):
        with atomic_write(path) as temporary:
            pd.concat(frames, ignore_index=True).to_csv(temporary, index=False)
