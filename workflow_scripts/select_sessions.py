"""Describe all sessions with masks, and list the criteria that they fail."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import write_csv
from lumbarseg.cohort.acquisition import describe_session
from lumbarseg.cohort.selection import COLUMNS, selection_rows, summary, used_sessions
from lumbarseg.cohort.sheet import read_sheet
from lumbarseg.config.image_sections import Selection
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    given, params = snakemake.input, snakemake.params
    sheet = read_sheet(given.sheet, params.channels, may_lack_images=True)
    by_ids = {(session.participant_id, session.session_id): session for session in sheet}
    # images are listed session by session, one per channel
    images = zip(*[map(Path, given.images)] * len(params.channels), strict=True)
    registrations = map(Path, given.registrations) if given.registrations else [None] * len(params.sessions)
    described = [
        describe_session(
            by_ids[tuple(ids)], Path(patches), dict(zip(params.channels, own, strict=True)), Path(choice), registration
        )
        for ids, patches, own, choice, registration in zip(
            params.sessions, given.patches, images, given.choices, registrations, strict=True
        )
    ]
    rows = selection_rows(described, params.lacking, Selection.model_validate(params.criteria), params.class_names)
    write_csv(snakemake.output.selection, pd.DataFrame(rows, columns=list(COLUMNS)))
    write_csv(snakemake.output.cohort, pd.DataFrame(used_sessions(described, rows)))
    if text := summary(rows):
        logger.warning("selection: %s; see %s", text, snakemake.output.selection)
