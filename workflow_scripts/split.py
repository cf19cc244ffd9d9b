"""Write the split into folds, and what is known of each session for the tables."""

from pathlib import Path

import pandas as pd

from lumbarseg.acquisition import describe_session
from lumbarseg.cohort import read_sheet
from lumbarseg.files import whole
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    assignments = pd.DataFrame(params.assignments, columns=["participant_id", "fold", "subset"])
    with whole(snakemake.output.folds) as temporary:
        assignments.to_csv(temporary, sep="\t", index=False)

    sessions = {(s.participant_id, s.session_id): s for s in read_sheet(snakemake.input.sheet, params.channels)}
    rows = []
    for place, (label, patches) in enumerate(zip(params.labels, snakemake.input.patches, strict=True)):
        images = snakemake.input.images[place * len(params.channels) :]
        by_contrast = dict(zip(params.channels, map(Path, images), strict=False))
        rows.append(describe_session(sessions[tuple(label)], Path(patches), by_contrast))
    with whole(snakemake.output.cohort) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
