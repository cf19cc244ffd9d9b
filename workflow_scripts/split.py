"""Write the split into folds, if it was made of the selected sessions."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.cohort.selection import require_planned_selection
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    require_planned_selection(snakemake.input.selection, map(tuple, params.left_out), params.lacking)
    assignments = pd.DataFrame(params.assignments, columns=["participant_id", "fold", "subset"])
    with atomic_write(snakemake.output.folds) as temporary:
        assignments.to_csv(temporary, sep="\t", index=False)
