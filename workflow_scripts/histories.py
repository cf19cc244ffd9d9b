"""Put the histories of all trainings into one table."""

import pandas as pd

from lumbarseg.files import whole
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    trainings = zip(snakemake.params.trainings, snakemake.input.histories, strict=True)
    frames = [pd.read_csv(path).assign(topology=topology, fold=fold) for (topology, fold), path in trainings]
    together = pd.concat(frames, ignore_index=True)
    with whole(snakemake.output[0]) as temporary:
        together[["topology", "fold", *together.columns.drop(["topology", "fold"])]].to_csv(temporary, index=False)
