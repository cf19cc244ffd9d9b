"""Convert a session's images to de-identified NIfTI with sidecars, and record which series were selected."""

from pathlib import Path

from lumbarseg.atomic_io import write_json
from lumbarseg.imaging.conversion import convert
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    outputs = zip(snakemake.params.source.items(), snakemake.output.images, snakemake.output.sidecars, strict=True)
    chosen = {}
    for (contrast, source), image, sidecar in outputs:
        chosen[contrast] = convert(Path(source), contrast, Path(image), Path(sidecar))
        reason = chosen[contrast].get("taken", {}).get("reason", "image named in the sheet")
        logger.info("%s: %s; %d files ignored", image, reason, chosen[contrast].get("other_files", 0))
    write_json(snakemake.output.choice, chosen)
