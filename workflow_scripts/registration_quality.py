"""Collect the reports of all registrations in one table, and flag outliers."""

from pathlib import Path

from lumbarseg.atomic_io import atomic_write, read_json
from lumbarseg.imaging.quality_control import registration_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    reports = {Path(path).name.partition("_from-")[0]: read_json(path) for path in snakemake.input.reports}
    table = registration_table(reports)
    with atomic_write(snakemake.output[0]) as temporary:
        table.to_csv(temporary, index=False)
    flagged = (table["flag"] != "").sum()
    if flagged:
        logger.warning(
            "registration: %d of %d sessions are flagged; check %s", flagged, len(table), snakemake.params.page
        )
