"""Convert a session's images to de-identified NIfTI with sidecars."""

from pathlib import Path

from lumbarseg.dicom import convert
from lumbarseg.joblog import job

with job(snakemake.log[0]) as logger:
    outputs = zip(snakemake.params.source.items(), snakemake.output.images, snakemake.output.sidecars, strict=True)
    for (contrast, source), image, sidecar in outputs:
        convert(Path(source), contrast, Path(image), Path(sidecar))
        logger.info("%s written", image)
