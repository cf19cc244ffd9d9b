"""Write the label table as ITK-SNAP label descriptions and as a BIDS table, next to the masks."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.itksnap import write_descriptions
from lumbarseg.labels import LabelTable
from lumbarseg.spreadsheets import harmless_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    write_descriptions(snakemake.output.itksnap, labels)
    with atomic_write(snakemake.output.bids) as temporary:
        rows = [{"index": tissue.id, "name": tissue.name, "color": tissue.colour} for tissue in labels]
        harmless_table(pd.DataFrame(rows)).to_csv(temporary, sep="\t", index=False)
