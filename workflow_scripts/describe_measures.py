"""Write what the columns and measures of the tables of new patients are."""

from lumbarseg.atomic_io import write_json
from lumbarseg.deployment.morphometry import DICTIONARY
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    write_json(snakemake.output[0], DICTIONARY)
