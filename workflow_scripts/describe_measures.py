"""Write what the columns and measures of the tables of new patients are."""

from lumbarseg.files import write_json
from lumbarseg.joblog import job
from lumbarseg.volumetry import DICTIONARY

with job(snakemake.log[0]):
    write_json(snakemake.output[0], DICTIONARY)
