"""Write the IoU at each threshold of every model and fold as one table."""

from lumbarseg.atomic_io import read_json, write_csv
from lumbarseg.evaluation.labelling import curves_of_study
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    write_csv(snakemake.output[0], curves_of_study(map(read_json, snakemake.input.thresholds)))
