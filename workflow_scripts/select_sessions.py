"""Describe all sessions with masks, and list the criteria that they do not meet."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.cohort.acquisition import describe_session
from lumbarseg.cohort.selection import COLUMNS, LEFT_OUT, selection_rows
from lumbarseg.cohort.sheet import read_sheet
from lumbarseg.config.schema import Selection
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params = snakemake.params
    sheet = read_sheet(snakemake.input.sheet, params.channels, may_lack_images=True)
    sessions = {(s.participant_id, s.session_id): s for s in sheet}
    described = []
    for place, label in enumerate(params.sessions):
        images = snakemake.input.images[place * len(params.channels) :]
        by_contrast = dict(zip(params.channels, map(Path, images), strict=False))
        paths = [Path(files[place]) for files in (snakemake.input.patches, snakemake.input.choices)]
        described.append(describe_session(sessions[tuple(label)], paths[0], by_contrast, paths[1]))
    rows = selection_rows(described, params.lacking, Selection.model_validate(params.criteria), params.class_names)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    with atomic_write(snakemake.output.selection) as temporary:
        table.to_csv(temporary, index=False)
    out = {(row["participant_id"], row["session_id"]) for row in rows if row["outcome"] == LEFT_OUT}
    cohort = [row for row in described if (row["participant_id"], row["session_id"]) not in out]
    with atomic_write(snakemake.output.cohort) as temporary:
        pd.DataFrame(cohort).to_csv(temporary, index=False)
    noted = table[table["criterion"] != ""]
    warned = noted[noted["outcome"] != LEFT_OUT].drop_duplicates(["participant_id", "session_id"])
    for count, what in ((len(out), "left out"), (len(warned), "out of range and used nevertheless")):
        if count:
            logger.warning("selection: %d sessions are %s; %s says why", count, what, snakemake.output.selection)
