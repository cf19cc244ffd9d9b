"""Write a phantom patient who is not in the cohort, as a new patient to segment."""

from pathlib import Path

from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.series import write_series
from lumbarseg.phantom.spine import build_spine
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params = snakemake.params
    patient = draw_patient(params.number, f"phantom{params.number:02d}", params.seed, (512,), (12, 12))
    spine = build_spine(patient.body)
    for contrast in patient.sequences:
        write_series(Path(snakemake.output[0], contrast), patient, spine, contrast)
        logger.info("%s written", contrast)
