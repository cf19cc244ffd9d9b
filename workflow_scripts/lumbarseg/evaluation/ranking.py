"""Which experiment is best, and how far that holds for other patients and folds."""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lumbarseg.evaluation.metrics import COUNTS, iou
from lumbarseg.evaluation.statistics import draw_cohorts

BEST = 10
"""How many experiments count as the best ones in `best_ten_share`."""


def rank_experiments(per_patient: pd.DataFrame, background: int, resamples: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Rank experiments by mean IoU without background: the table `metrics/ranking.csv`.

    The value is that of the tables: pixels pooled over a fold's test slices, the mean over the targets (equation 4), then
    the mean over the folds. How stable a rank is comes from cohorts drawn from the test patients with replacement, in each
    of which all experiments are ranked anew (Wiesenfarth et al. 2021), and from the ranks in each fold alone.

    Args:
        per_patient: the table `metrics/iou_per_patient.csv`.
        background: id of the class that is no target.
        resamples: cohorts that are drawn.
        seed: of the drawing.

    Returns:
        A row an experiment, the best first: rank (equal values share the better one), experiment, mean_iou and sd (0 … 1,
        over the folds), folds (that have a value), rank_low and rank_high (between which 95 % of the resampled ranks lie),
        first_share and best_ten_share (of the cohorts in which it is first, and among the ten best; 0 … 1),
        best_fold_rank and worst_fold_rank. An experiment without any IoU stands last, without rank.
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
    # One cohort's counts are a sum over its patients, so those of many are a product of matrices (exact below 2⁵³).
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
    with warnings.catch_warnings():  # what has no value at all keeps none
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank each row, 1 for the highest; of equal values all get the better rank, what has no value gets none."""
    return stats.rankdata(-values, method="min", axis=1, nan_policy="omit")


def _quantile(ranks: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Give a quantile of each column's ranks that is one of them."""
    return pd.DataFrame(ranks).quantile(share, interpolation="nearest").to_numpy()
