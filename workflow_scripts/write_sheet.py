"""Write the sheet of sessions for a folder with a known layout."""

from lumbarseg.cohort.layouts import write_sheet
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    layout = snakemake.params.layout
    count = write_sheet(snakemake.params.sheet, layout["kind"], layout["folder"], layout["masks"])
    logger.warning("%s: %d sessions written; check the sheet before the study runs", snakemake.params.sheet, count)
