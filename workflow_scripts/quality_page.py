"""Show the images of every session on one page, flagged sessions first."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import atomic_write, read_json
from lumbarseg.reporting.quality_page import quality_page, session_entry
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    registration = snakemake.input.registration
    registrations = pd.read_csv(registration[0], keep_default_na=False) if registration else None
    files = zip(snakemake.params.sessions, snakemake.input.pictures, snakemake.input.choices, strict=True)
    sessions = [
        session_entry(f"sub-{participant}_ses-{session}", Path(picture).name, read_json(series), registrations)
        for (participant, session), picture, series in files
    ]
    with atomic_write(snakemake.output[0]) as temporary:
        temporary.write_text(quality_page(snakemake.params.study, sessions), encoding="utf-8")
