"""Register a session's T1w to its T2w."""

from pathlib import Path

from lumbarseg.config.image_sections import Registration
from lumbarseg.imaging.registration.session import register
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    register(
        Path(snakemake.input.fixed),
        Path(snakemake.input.moving),
        Path(snakemake.output.image),
        Path(snakemake.output.matrix),
        Path(snakemake.output.report),
        Registration.model_validate(snakemake.params.settings),
    )
