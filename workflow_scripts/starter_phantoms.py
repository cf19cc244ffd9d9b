"""Write a part of the phantoms that starter networks are trained and tested on."""

from pathlib import Path

from lumbarseg.synthesis.tissue_slices import TEST_PIXEL_MM, TEST_SIDE, write_phantom
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    first, last = snakemake.params.numbers
    shape = {"side": TEST_SIDE, "pixel": TEST_PIXEL_MM} if snakemake.wildcards.part.startswith("test") else {}
    folder = Path(snakemake.output[0])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, last + 1):
        write_phantom(folder, number, snakemake.params.seed, slices=snakemake.params.slices, **shape)
        logger.info("phantom %d of %d to %d written", number, first, last)
