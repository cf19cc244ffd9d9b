"""Write the split into folds, and what is known of each session for the tables."""

import pandas as pd

from lumbarseg.cohort import read_sheet
from lumbarseg.files import read_json, whole
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    assignments = pd.DataFrame(snakemake.params.assignments, columns=["participant_id", "fold", "subset"])
    with whole(snakemake.output.folds) as temporary:
        assignments.to_csv(temporary, sep="\t", index=False)

    facts = {
        (s.participant_id, s.session_id): s.facts for s in read_sheet(snakemake.input.sheet, snakemake.params.channels)
    }
    sidecars = iter(snakemake.input.sidecars)
    fields = {
        (contrast, *label): read_json(next(sidecars))
        for contrast in snakemake.params.channels
        for label in map(tuple, snakemake.params.labels)
    }
    rows = []
    for label, patches in zip(map(tuple, snakemake.params.labels), snakemake.params.patches, strict=True):
        description = read_json(patches)
        row = {"participant_id": label[0], "session_id": label[1], **facts[label]}
        row |= {"slices": description["slices"], "patches": description["patches"]}
        for contrast in snakemake.params.channels:
            row |= {f"{contrast}_{name}": value for name, value in fields[contrast, *label].items()}
        rows.append(row)
    with whole(snakemake.output.cohort) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
