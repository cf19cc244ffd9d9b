"""Write the description of columns and measures of new patients' tables."""

from lumbarseg.atomic_io import write_json
from lumbarseg.deployment.morphometry import DICTIONARY
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    write_json(snakemake.output[0], DICTIONARY)
