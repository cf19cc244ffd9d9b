"""Describe a session's images by values that can be compared with those of other sessions."""

from pathlib import Path

from lumbarseg.atomic_io import write_json
from lumbarseg.deployment.domain_check import profile_of_files
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    images, sidecars = (
        dict(zip(snakemake.params.channels, map(Path, paths), strict=True))
        for paths in (snakemake.input.images, snakemake.input.sidecars)
    )
    write_json(snakemake.output[0], profile_of_files(images, sidecars))
