"""Selection of the test slices shown in Figure 7: the best, the median and the worst."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lumbarseg.config.model_sections import CaseSlice
from lumbarseg.errors import InputError
from lumbarseg.evaluation.metrics import SLICE


def choose_cases(per_slice: pd.DataFrame, experiment: str, background: int) -> pd.DataFrame:
    """Choose the best, the median and the worst test slice by mean IoU without background (equation 4).

    Only the first fold is used, because each fold predicts the same test slices. The three cases come from different
    patients if possible; the median is then the slice of another patient that is nearest to it in rank.

    Args:
        per_slice: the table `metrics/iou_per_slice.csv`.
        experiment: name of the experiment that is ranked.
        background: id of the background class.

    Returns:
        Up to three rows: case (best, median, worst), fold, participant_id, session_id, slice, mean_iou (0 … 1).

    Raises:
        ValueError: the experiment has no slice with an IoU.
    """
    rows = per_slice[(per_slice["experiment"] == experiment) & (per_slice["class_id"] != background)]
    rows = rows[rows["fold"] == rows["fold"].min()]
    means = rows.groupby(["fold", *SLICE], observed=True)["iou"].mean().dropna()
    if means.empty:
        raise ValueError(f"no slice has an IoU of {experiment}")
    ranked = (
        means.rename("mean_iou")
        .reset_index()
        .astype(dict.fromkeys(SLICE[:2], str))
        .sort_values(["mean_iou", *SLICE], ignore_index=True)
    )
    last = len(ranked) - 1
    chosen: dict[str, int] = {}
    for case, rank in (("best", last), ("worst", 0), ("median", last // 2))[: len(ranked)]:
        taken = ranked.loc[list(chosen.values())]
        free = ranked.drop(index=list(chosen.values()))
        others = free[~free["participant_id"].isin(taken["participant_id"])]
        candidates = (others if len(others) else free).index.to_numpy()
        chosen[case] = int(candidates[np.argmin(np.abs(candidates - rank))])
    order = [case for case in ("best", "median", "worst") if case in chosen]
    table = ranked.loc[[chosen[case] for case in order]].reset_index(drop=True)
    table.insert(0, "case", order)
    return table


def cases_by_hand(per_slice: pd.DataFrame, wanted: Sequence[CaseSlice]) -> pd.DataFrame:
    """Find the slices that the config names under `figures.slices`.

    Args:
        per_slice: the table `metrics/iou_per_slice.csv`.
        wanted: the config's `figures.slices`.

    Returns:
        One row each: case (`by hand`), fold (the first that has the slice), participant_id, session_id, slice.

    Raises:
        InputError: a slice is not of a test session.
    """
    rows = []
    for slice_ in wanted:
        identity = [slice_.participant_id, slice_.session_id]
        of_session = per_slice[(per_slice[SLICE[:2]].astype(str) == identity).all(axis=1)]
        found = of_session[of_session["slice"] == slice_.slice].head(1)
        if found.empty:
            reason = (
                f"the session has slices 0 to {of_session['slice'].max()}"
                if len(of_session)
                else "no such test session"
            )
            raise InputError(
                f"config, figures.slices: participant {identity[0]}, session {identity[1]}, slice {slice_.slice} is not a slice of "
                f"a test session ({reason}); folds.tsv lists the test patients"
            )
        rows.append(dict(zip(SLICE, (*identity, slice_.slice), strict=True)) | {"fold": int(found["fold"].iloc[0])})
    return pd.DataFrame(rows, columns=["fold", *SLICE]).assign(case="by hand")
