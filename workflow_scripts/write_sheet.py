"""Write the sheet of sessions of a folder with a known layout."""

from lumbarseg.joblog import job
from lumbarseg.layouts import write_sheet

with job(snakemake.log[0]) as logger:
    layout = snakemake.params.layout
    count = write_sheet(snakemake.params.sheet, layout["kind"], layout["folder"], layout["masks"])
    logger.warning("%s: %d sessions; look through it before the study runs", snakemake.params.sheet, count)
