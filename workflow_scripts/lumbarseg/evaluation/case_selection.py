"""Selection of the test slices shown in Figure 7: the best, the median and the worst."""

import numpy as np
import pandas as pd

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
