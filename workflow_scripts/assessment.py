"""Combine the surface distances and the confusion of all folds."""

import pandas as pd

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    for table in ("distances", "confusion"):
        frames = map(read_csv, snakemake.input.get(table))
        write_csv(snakemake.output.get(table), pd.concat(frames, ignore_index=True))
