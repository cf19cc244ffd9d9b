"""Compare drafts with the masks that were made of them."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import read_json, write_csv
from lumbarseg.evaluation.corrections import session_corrections
from lumbarseg.geometry import read_view
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    tables = []
    for (drawn, participant, session, folder), mask in zip(snakemake.params.drafts, snakemake.input.masks, strict=True):
        record = read_json(Path(folder) / "draft.json")
        tables.append(
            session_corrections(
                read_view(mask, "convert")[0].astype("uint8"),
                read_view(Path(folder) / "draft.nii.gz", "draft")[0].astype("uint8"),
                labels,
                record["classes_left_out"],
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
