"""Write the sheet of sessions for a folder with a known layout."""

from lumbarseg.cohort.layouts import write_sheet
from lumbarseg.cohort.table import read_table
from lumbarseg.imaging.same_patient import identify, repetitions
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    layout, sheet = snakemake.params.layout, snakemake.params.sheet
    count = write_sheet(sheet, layout["kind"], layout["folder"], layout["masks"])
    logger.warning("%s: %d sessions written; check the sheet before the study runs", sheet, count)
    sessions = {
        (row["participant_id"], row["session_id"]): identify(filter(None, [row["t2w"], row["t1w"]]))
        for _, row in read_table(sheet)
    }
    for found in repetitions(sessions):
        logger.warning("%s: %s; give their rows one participant_id, or remove one", sheet, found)
