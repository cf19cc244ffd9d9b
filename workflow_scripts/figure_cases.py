"""Draw best, median and worst test slice with the predictions of some experiments (Figure 7)."""

from pathlib import Path

import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import Case, case_comparison, choose_cases, save_figure
from lumbarseg.geometry import read_plane
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    identifiers = {"participant_id": str, "session_id": str}
    per_slice = pd.read_csv(snakemake.input.per_slice, dtype=identifiers)
    places = {tuple(session): place for place, session in enumerate(params.sessions)}
    cases = []
    for chosen in choose_cases(per_slice, params.experiments[-1], labels.background).itertuples():
        place = places[chosen.participant_id, chosen.session_id]
        file = f"sub-{chosen.participant_id}_ses-{chosen.session_id}_dseg.nii.gz"
        t2w, spacing = read_plane(snakemake.input.t2w[place], chosen.slice)
        cases.append(
            Case(
                chosen.case,
                t2w,
                read_plane(snakemake.input.t1w[place], chosen.slice)[0] if snakemake.input.t1w else None,
                read_plane(snakemake.input.truth[place], chosen.slice)[0],
                {
                    experiment: read_plane(Path(folder) / file, chosen.slice)[0]
                    for experiment, folder in zip(params.experiments, snakemake.input.masks, strict=True)
                },
                spacing,
            )
        )
    save_figure(case_comparison(cases, labels), *snakemake.output)
