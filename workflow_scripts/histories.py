"""Combine the histories of all trainings in one table."""

import pandas as pd

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    trainings = zip(snakemake.params.trainings, snakemake.input.histories, strict=True)
    frames = [read_csv(path).assign(topology=topology, fold=fold) for (topology, fold), path in trainings]
    table = pd.concat(frames, ignore_index=True)
    write_csv(snakemake.output[0], table[["topology", "fold", *table.columns.drop(["topology", "fold"])]])
