"""Collect the reports of all registrations in one table, and flag outliers."""

from pathlib import Path

from lumbarseg.atomic_io import read_json, write_csv
from lumbarseg.imaging.quality_control import registration_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    reports = {Path(path).name.partition("_from-")[0]: read_json(path) for path in snakemake.input.reports}
    table = registration_table(reports)
    write_csv(snakemake.output[0], table)
    flagged = (table["flag"] != "").sum()
    if flagged:
        logger.warning(
            "registration: %d of %d sessions are flagged; check %s", flagged, len(table), snakemake.params.page
        )
