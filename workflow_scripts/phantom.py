"""Write the phantom cohort: DICOM series, masks, known motion, and the sheet of sessions."""

from pathlib import Path

from lumbarseg.phantom.cohort import write_cohort
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    settings = snakemake.params.settings
    write_cohort(
        Path(snakemake.output.sheet).parent,
        patients=settings["patients"],
        seed=settings["seed"],
        matrices=settings["matrices"],
        slices=tuple(settings["slices"]),
        processes=snakemake.threads,
        on_progress=lambda participant: logger.info("%s written", participant),
    )
