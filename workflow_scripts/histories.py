"""Put the histories of all trainings into one table."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    trainings = zip(snakemake.params.trainings, snakemake.input.histories, strict=True)
    frames = [pd.read_csv(path).assign(topology=topology, fold=fold) for (topology, fold), path in trainings]
    together = pd.concat(frames, ignore_index=True)
    with atomic_write(snakemake.output[0]) as temporary:
        together[["topology", "fold", *together.columns.drop(["topology", "fold"])]].to_csv(temporary, index=False)
