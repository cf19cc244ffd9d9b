"""Write the split into folds, once the sessions it was made of are the selected ones."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.cohort.selection import left_out
from lumbarseg.errors import InputError
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    # those that lack an image are known from the sheet alone
    found = left_out(snakemake.input.selection) - {tuple(label[:2]) for label in params.lacking}
    planned = {tuple(label) for label in params.left_out}
    if found != planned:
        raise InputError(
            f"{snakemake.input.selection}: expected {len(planned)} sessions to be left out, as the run was planned with, found "
            f"{len(found)}; look at this table, then run the same command again: it goes on with the sessions "
            "that are selected"
        )
    assignments = pd.DataFrame(params.assignments, columns=["participant_id", "fold", "subset"])
    with atomic_write(snakemake.output.folds) as temporary:
        assignments.to_csv(temporary, sep="\t", index=False)
