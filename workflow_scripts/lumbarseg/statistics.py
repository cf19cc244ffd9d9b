"""The Wilcoxon signed-rank test of every experiment against the reference, per class (Section 6, Figure 8)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lumbarseg.metrics import COUNTS, SLICE, iou

FEWEST_PAIRS = 6
"""Pairs needed for a test: with five, the smallest two-sided p there can be is 2/2⁵ = 0.0625."""


COLUMNS = ["reference", "experiment", "class_id", "unit", "n", "median_difference", "p_value", "p_holm"]


def wilcoxon(per_slice: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Test whether experiments differ from the reference in IoU_c, per class: the table `metrics/wilcoxon.csv`.

    The units that are paired are the test slices, as in the paper, and the test patients, because slices of one patient
    are not independent. A slice's IoU_c is averaged over the folds that have one; a patient's comes from the counts of
    all its slices, again averaged over the folds. Pairs in which either IoU is missing are left out, and so are pairs
    without a difference (Wilcoxon's own way with zeros, 1945); the two-sided p is that of `scipy.stats.wilcoxon`.

    The p-values are adjusted after Holm (1979) over one family for each unit: all experiments and classes together.

    Args:
        per_slice: the table `metrics/iou_per_slice.csv`.
        reference: the experiment that every other one is tested against.

    Returns:
        reference, experiment, class_id, unit (slice, patient), n (pairs that are ranked), median_difference (experiment −
        reference, over all pairs that have both values; −1 … 1), p_value and p_holm (NaN where n < 6).

    Raises:
        ValueError: the reference is not among the experiments.
    """
    experiments = list(per_slice["experiment"].unique())
    if reference not in experiments:
        raise ValueError(f"expected the reference {reference} among the experiments {', '.join(experiments)}")
    coded = per_slice.astype({"experiment": pd.CategoricalDtype(experiments)})
    tables = [
        _compare(_units_by_experiment(coded, unit), unit, reference, experiments) for unit in ("slice", "patient")
    ]
    return pd.concat(tables, ignore_index=True)


def _units_by_experiment(per_slice: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Give the IoU, averaged over folds, as (class and unit) × experiment."""
    names = SLICE if unit == "slice" else ["participant_id"]
    # One number for a unit instead of several texts: with millions of rows, grouping by texts takes minutes.
    numbered = per_slice[["experiment", "fold", "class_id"]].assign(unit=per_slice.groupby(names).ngroup())
    if unit == "slice":
        numbered["iou"] = per_slice["iou"]
    else:
        numbered[COUNTS] = per_slice[COUNTS]
        numbered = numbered.groupby(list(numbered.columns[:4]), observed=True)[COUNTS].sum().reset_index()
        numbered["iou"] = iou(*(numbered[column] for column in COUNTS))
    # Sums depend on the order of their terms; in one order, equal folds give a difference of exactly 0.
    numbered = numbered.sort_values("fold", kind="stable")
    means = numbered.groupby(["class_id", "unit", "experiment"], observed=True)["iou"].mean()
    return means.unstack("experiment")  # noqa: PD010 (a pivot table would drop classes without any IoU)


def _compare(values: pd.DataFrame, unit: str, reference: str, experiments: Iterable[str]) -> pd.DataFrame:
    rows = []
    for class_id, of_class in values.groupby(level="class_id"):
        for experiment in experiments:
            if experiment == reference:
                continue
            difference = (of_class[experiment] - of_class[reference]).dropna().to_numpy()
            ranked = difference[difference != 0]
            rows.append(
                {
                    "reference": reference,
                    "experiment": experiment,
                    "class_id": class_id,
                    "unit": unit,
                    "n": ranked.size,
                    "median_difference": np.median(difference) if difference.size else np.nan,
                    "p_value": _p_value(ranked) if ranked.size >= FEWEST_PAIRS else np.nan,
                }
            )
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return table.assign(p_holm=holm(table["p_value"].to_numpy(dtype=np.float64)))


def _p_value(differences: NDArray[np.float64]) -> float:
    """Give the two-sided p of `scipy.stats.wilcoxon`: exact for up to 50 pairs, with equal differences for up to 13."""
    ranks = stats.rankdata(np.abs(differences))
    if ranks.size > 13 or np.unique(ranks).size == ranks.size:
        return float(stats.wilcoxon(differences).pvalue)
    # SciPy goes through the same 2ⁿ patterns of signs one by one, which takes more than a second for 13 pairs.
    signs = np.indices((2,) * ranks.size, dtype=np.int8).reshape(ranks.size, -1)
    sums, observed = ranks @ signs, ranks[differences > 0].sum()
    return min(1.0, 2 * float(min(np.mean(sums <= observed), np.mean(sums >= observed))))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for a family of tests with the step-down method of Holm (1979).

    Args:
        p_values: (n,) 0 … 1; NaN where there was no test, which then does not count in the family.

    Returns:
        (n,) adjusted p-values, 0 … 1; NaN stays NaN.
    """
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    remaining = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * remaining), 1)
    return adjusted
