"""Write a new session's labels as DICOM-SEG."""

from pathlib import Path

from lumbarseg.atomic_io import read_json
from lumbarseg.deployment.dicomseg import write_dicomseg
from lumbarseg.geometry import load_image
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    write_dicomseg(
        Path(snakemake.output[0]),
        load_image(snakemake.input.labels),
        Path(snakemake.input.source),
        LabelTable(snakemake.params.classes, snakemake.params.background),
        read_json(snakemake.input.record)["experiment"],
    )
