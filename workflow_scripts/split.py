"""Write the split into folds, if it was made of the selected sessions and no patient is in it twice."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write, read_json
from lumbarseg.cohort.selection import require_planned_selection
from lumbarseg.imaging.same_patient import identify, repetitions, require_distinct_patients
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params = snakemake.params
    require_planned_selection(snakemake.input.selection, map(tuple, params.left_out), params.lacking)
    sessions = {}
    for (participant, session, *sources), choice in zip(params.sources, snakemake.input.choices, strict=True):
        digests = [one["voxels"] for one in read_json(choice).values() if "voxels" in one]
        sessions[participant, session] = identify(sources, digests)
    found = repetitions(sessions)
    require_distinct_patients(snakemake.input.sheet, found)
    for repeated in found:
        logger.warning("%s: %s; remove one of the rows", snakemake.input.sheet, repeated)
    assignments = pd.DataFrame(params.assignments, columns=["participant_id", "fold", "subset"])
    with atomic_write(snakemake.output.folds) as temporary:
        assignments.to_csv(temporary, sep="\t", index=False)
