"""Take the test slices that are shown out of their images: chosen cases (Figure 7), and each experiment's worst."""

from pathlib import Path

import pandas as pd

from lumbarseg.errors import InputError
from lumbarseg.evaluation.case_selection import choose_cases
from lumbarseg.evaluation.metrics import read_rows
from lumbarseg.geometry import read_plane
from lumbarseg.reporting.figures.cases import Case
from lumbarseg.reporting.figures.stored import store_slices
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    places = {tuple(session): place for place, session in enumerate(params.sessions)}
    folders = dict(
        zip(((e, fold) for e in params.experiments for fold in params.folds), snakemake.input.masks, strict=True)
    )

    def case(name, where, experiments):
        """A slice with the predictions of some experiments; `where` has fold, participant_id, session_id and slice."""
        place = places[where.participant_id, where.session_id]
        file = f"sub-{where.participant_id}_ses-{where.session_id}_dseg.nii.gz"
        t2w, spacing = read_plane(snakemake.input.t2w[place], where.slice)
        return Case(
            name,
            t2w,
            read_plane(snakemake.input.t1w[place], where.slice)[0] if snakemake.input.t1w else None,
            read_plane(snakemake.input.truth[place], where.slice)[0],
            {e: read_plane(Path(folders[e, where.fold]) / file, where.slice)[0] for e in experiments},
            spacing,
        )

    columns = ["experiment", "fold", "participant_id", "session_id", "slice", "class_id", "iou"]
    per_slice = read_rows([snakemake.input.per_slice], columns)
    by_hand = []
    for wanted in params.by_hand:
        identity = [wanted[name] for name in columns[2:5]]
        same_session = per_slice[(per_slice[columns[2:4]].astype(str) == identity[:2]).all(axis=1)]
        row = same_session[same_session["slice"] == wanted["slice"]].head(1)
        if row.empty:
            found = f"slices 0 to {same_session['slice'].max()} of it" if len(same_session) else "no such test session"
            raise InputError(
                "config, figures.slices: expected a slice of a test session, found participant {}, session {}, slice {} ({}); "
                "folds.tsv lists the test patients".format(*identity, found)
            )
        by_hand.append(row.assign(case="by hand").astype(dict.fromkeys(columns[2:4], str)))
    chosen = pd.concat([*by_hand, choose_cases(per_slice, params.experiments[-1], params.background)])
    store_slices(snakemake.output.cases, [case(row.case, row, params.experiments) for row in chosen.itertuples()])

    worst = pd.read_csv(snakemake.input.worst_cases, dtype={"participant_id": str, "session_id": str})
    for experiment, path in zip(params.experiments, snakemake.output.worst, strict=True):
        rows = worst[worst["experiment"] == experiment].head(params.most)
        named = [(f"{row.participant_id}, slice {row.slice}, fold {row.fold}", row) for row in rows.itertuples()]
        store_slices(path, [case(name, row, [experiment]) for name, row in named])
