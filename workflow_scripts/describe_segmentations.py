"""Write what goes with every segmentation: the label file for ITK-SNAP and what the measures are."""

from lumbarseg.anatomy import LabelTable, itksnap_labels
from lumbarseg.files import whole, write_json
from lumbarseg.joblog import job
from lumbarseg.volumetry import DICTIONARY

with job(snakemake.log[0]):
    with whole(snakemake.output.labels) as temporary:
        table = LabelTable(snakemake.params.classes, snakemake.params.background)
        temporary.write_text(itksnap_labels(table), encoding="utf-8")
    write_json(snakemake.output.measures, DICTIONARY)
