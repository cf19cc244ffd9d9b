"""Read the slices that show the data and their preprocessing (Figures 2 and 3) from the images of one session."""

from lumbarseg.reporting.images import read_examples
from lumbarseg.reporting.slices import store_slices
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    files, patches = snakemake.input, snakemake.params.patches
    examples, steps = read_examples(
        files.t2w[0], files.t1w, files.normalised, files.mask[0], patches["patch_size"], patches["stride"]
    )
    store_slices(snakemake.output.labelled, examples)
    store_slices(snakemake.output.steps, [steps])
