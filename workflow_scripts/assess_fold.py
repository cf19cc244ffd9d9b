"""Assess the masks of a fold against the truth: distances between contours, and confusion of classes."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import write_csv
from lumbarseg.evaluation.assessment import MaskPair, assess_experiment
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params, fold = snakemake.params, int(snakemake.wildcards.fold)
    labels = LabelTable(params.classes, params.background)
    tables = []
    for experiment, folder in zip(params.experiments, snakemake.input.masks, strict=True):
        pairs = [
            MaskPair(participant, session, truth, Path(folder) / f"sub-{participant}_ses-{session}_dseg.nii.gz")
            for (participant, session), truth in zip(params.sessions, snakemake.input.truth, strict=True)
        ]
        tables.append(assess_experiment(experiment, fold, pairs, labels, params.unlabelled))
        logger.info("%s: %d sessions", experiment, len(pairs))
    distances, confusion = (pd.concat(frames, ignore_index=True) for frames in zip(*tables, strict=True))
    write_csv(snakemake.output.distances, distances)
    write_csv(snakemake.output.confusion, confusion)
