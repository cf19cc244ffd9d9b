"""Compare drafts with the masks that were made of them."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import read_json, write_csv
from lumbarseg.evaluation.corrections import session_corrections
from lumbarseg.evaluation.partial_labels import merge_labels
from lumbarseg.geometry import load_image, read_view, require_same_grid
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    unlabelled, tables = snakemake.params.unlabelled, []
    for (drawn, participant, session, folder), mask in zip(snakemake.params.drafts, snakemake.input.masks, strict=True):
        record, draft = read_json(Path(folder) / "labels_draft.json"), Path(folder) / "labels_draft.nii.gz"
        require_same_grid(load_image(mask), load_image(draft), (mask, str(draft)), tolerance=0.1)
        tables.append(
            session_corrections(
                read_view(mask, "convert")[0].astype("uint8"),
                merge_labels(read_view(draft, "draft")[0].astype("uint8"), unlabelled, labels.background),
                labels,
                [*record["classes_left_out"], *(labels[number].name for number in unlabelled)],
                drawn=drawn,
                participant_id=participant,
                session_id=session,
                drafted_by=f"{record['experiment']} of {record['study']}",
            )
        )
        if (tables[-1][0]["changed_share"] == 0).all():
            logger.warning(
                "sub-%s ses-%s: the mask equals its draft; correct it, unless nothing was to be corrected",
                participant,
                session,
            )
    for path, parts in zip(snakemake.output, zip(*tables, strict=True), strict=True):
        write_csv(path, pd.concat(parts, ignore_index=True))
