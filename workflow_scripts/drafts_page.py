"""Show the drafts of all sessions without a mask on one page, those to draw next first."""

from pathlib import Path

from lumbarseg.atomic_io import atomic_write
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.deployment.bundle import Bundle
from lumbarseg.deployment.draft_list import itksnap_command
from lumbarseg.reporting.drafts_page import drafts_page
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    listed = read_csv(given.listed).fillna({"flags": ""})
    page = drafts_page(
        params.study,
        listed,
        dict(zip(map(tuple, params.sessions), map(Path, given.pictures), strict=True)),
        itksnap_command(params.channels),
        params.left_out,
        Bundle(given.bundle).title if given.bundle else "",
    )
    with atomic_write(snakemake.output[0]) as temporary:
        temporary.write_text(page, encoding="utf-8")
