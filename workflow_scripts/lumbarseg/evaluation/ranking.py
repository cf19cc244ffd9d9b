"""Ranking of the experiments, and its stability over patients and folds."""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lumbarseg.evaluation.metrics import COUNTS, iou
from lumbarseg.evaluation.statistics import draw_cohorts

BEST = 10
"""Number of experiments that count as best in `best_ten_share`."""


def rank_experiments(per_patient: pd.DataFrame, background: int, resamples: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Rank experiments by mean IoU without background: the table `metrics/ranking.csv`.

    The value is that of the tables: pixels pooled over a fold's test slices, mean over the classes without background
    (equation 4), then mean over the folds. The stability of the ranks is estimated by ranking the experiments in cohorts
    drawn from the test patients with replacement (Wiesenfarth et al. 2021), and in each fold.

    Args:
        per_patient: the table `metrics/iou_per_patient.csv`.
        background: id of the background class.
        resamples: number of drawn cohorts.
        seed: seed of the drawing.

    Returns:
        A row for each experiment, the best first: rank (equal values share the better one), experiment, mean_iou and sd
        (0 … 1, over the folds), folds (number of folds with a value), rank_low and rank_high (limits of 95 % of the ranks
        in the cohorts), first_share and best_ten_share (share of the cohorts with rank 1, and with rank 10 or better;
        0 … 1), best_fold_rank and worst_fold_rank. Experiments without IoU are last and have no rank.
    """
    targets = per_patient[per_patient["class_id"] != background]
    experiments = list(dict.fromkeys(targets["experiment"].astype(str)))
    places = [_places(targets[name].astype(str)) for name in ("participant_id", "experiment", "fold", "class_id")]
    shape = tuple(int(place.max()) + 1 if place.size else 0 for place in places)
    counts = np.zeros((len(COUNTS), *shape), np.int64)
    for count, column in zip(counts, COUNTS, strict=True):
        np.add.at(count, tuple(places), targets[column].to_numpy())
    by_fold = _mean_iou(counts.sum(axis=1))
    value = _mean(by_fold, axis=-1)
    drawn = draw_cohorts(shape[0], resamples, seed)
    # The counts of a cohort are a sum over its patients, so those of all cohorts are a matrix product (exact below 2⁵³).
    flat = counts.reshape(len(COUNTS), shape[0], -1).astype(np.float64)
    resampled = np.concatenate(
        [
            _mean(_mean_iou((part.astype(np.float64) @ flat).reshape(len(COUNTS), len(part), *shape[1:])), axis=-1)
            for part in np.array_split(drawn, max(1, resamples // 100))
        ]
    )
    ranks, fold_ranks = _ranks(resampled), _ranks(by_fold.T)
    table = pd.DataFrame(
        {
            "rank": _ranks(value[np.newaxis])[0],
            "experiment": experiments,
            "mean_iou": value,
            "sd": pd.DataFrame(by_fold).std(axis=1),
            "folds": np.isfinite(by_fold).sum(axis=1),
            "rank_low": _quantile(ranks, 0.025),
            "rank_high": _quantile(ranks, 0.975),
            "first_share": (ranks == 1).mean(axis=0),
            "best_ten_share": (ranks <= BEST).mean(axis=0),
            "best_fold_rank": pd.DataFrame(fold_ranks).min().to_numpy(),
            "worst_fold_rank": pd.DataFrame(fold_ranks).max().to_numpy(),
        }
    )
    whole_numbers = dict.fromkeys(["rank", "rank_low", "rank_high", "best_fold_rank", "worst_fold_rank"], "Int64")
    return table.astype(whole_numbers).sort_values("rank", kind="stable", ignore_index=True)


def _places(names: pd.Series) -> NDArray[np.int64]:
    return pd.factorize(names)[0]


def _mean_iou(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Average over the classes, the last axis, of counts (3, …, classes)."""
    return _mean(iou(*counts), axis=-1)


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    with warnings.catch_warnings():  # the mean of NaN alone stays NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank the values of each row, 1 for the highest; equal values share the better rank, NaN stays NaN."""
    return stats.rankdata(-values, method="min", axis=1, nan_policy="omit")


def _quantile(ranks: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return a quantile of each column that is one of its values."""
    return pd.DataFrame(ranks).quantile(share, interpolation="nearest").to_numpy()
