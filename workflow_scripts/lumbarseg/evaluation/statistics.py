"""The Wilcoxon signed-rank test of every experiment against the reference, per class (Section 6, Figure 8)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lumbarseg.evaluation.metrics import COUNTS, SLICE, iou

FEWEST_PAIRS = 6
"""Pairs needed for a test: with five, the smallest two-sided p there can be is 2/2⁵ = 0.0625."""


COLUMNS = [
    "reference", "experiment", "class_id", "unit", "n", "median_difference", "p_value", "p_holm", "interval_low", "interval_high",
]  # fmt: skip


def wilcoxon(per_slice: pd.DataFrame, reference: str, resamples: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Test whether experiments differ from the reference in IoU_c, per class: the table `metrics/wilcoxon.csv`.

    The units that are paired are the test slices, as in the paper, and the test patients, because slices of one patient
    are not independent. A slice's IoU_c is averaged over the folds that have one; a patient's comes from the counts of
    all its slices, again averaged over the folds. Pairs in which either IoU is missing are left out, and so are pairs
    without a difference (Wilcoxon's own way with zeros, 1945); the two-sided p is that of `scipy.stats.wilcoxon`.

    The p-values are adjusted after Holm (1979) over one family for each unit: all experiments and classes together.

    The interval around the median difference holds 95 % of the medians of resampled cohorts. Patients are drawn with all
    their slices (Field and Welsh 2007), so the interval of slices is not narrowed by slices of one patient being alike.

    Args:
        per_slice: the table `metrics/iou_per_slice.csv`.
        reference: the experiment that every other one is tested against.
        resamples: cohorts drawn for the interval.
        seed: of the drawing.

    Returns:
        reference, experiment, class_id, unit (slice, patient), n (pairs that are ranked), median_difference (experiment −
        reference, over all pairs that have both values; −1 … 1), p_value and p_holm (NaN where n < 6), interval_low and
        interval_high (−1 … 1; NaN where no pair has both values).

    Raises:
        ValueError: the reference is not among the experiments.
    """
    experiments = [str(name) for name in per_slice["experiment"].unique()]
    if reference not in experiments:
        raise ValueError(f"expected the reference {reference} among the experiments {', '.join(experiments)}")
    coded = per_slice.astype({"experiment": pd.CategoricalDtype(experiments)})
    patients = per_slice["participant_id"].astype(str).unique()
    drawn = draw_cohorts(len(patients), resamples, seed)
    place_of = dict(zip(patients, range(len(patients)), strict=True))
    tables = []
    for unit in ("slice", "patient"):
        values, of_unit = _units_by_experiment(coded, unit)
        places = of_unit.astype(str).map(place_of)
        tables.append(_compare(values, places, unit, reference, experiments, drawn))
    return pd.concat(tables, ignore_index=True)


def draw_cohorts(patients: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Draw cohorts with replacement: (resamples, patients) int64, how often each patient is in each cohort."""
    return np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=resamples)


def _units_by_experiment(per_slice: pd.DataFrame, unit: str) -> tuple[pd.DataFrame, pd.Series]:
    """Give the IoU, averaged over folds, as (class and unit) × experiment, and by unit its patient."""
    names = SLICE if unit == "slice" else ["participant_id"]
    # One number for a unit instead of several texts: with millions of rows, grouping by texts takes minutes.
    numbers = per_slice.groupby(names, observed=True).ngroup()
    numbered = per_slice[["experiment", "fold", "class_id"]].assign(unit=numbers)
    first = numbers.drop_duplicates()
    of_unit = pd.Series(per_slice.loc[first.index, "participant_id"].to_numpy(), index=first.to_numpy())
    if unit == "slice":
        numbered["iou"] = per_slice["iou"]
    else:
        numbered[COUNTS] = per_slice[COUNTS]
        numbered = numbered.groupby(list(numbered.columns[:4]), observed=True)[COUNTS].sum().reset_index()
        numbered["iou"] = iou(*(numbered[column] for column in COUNTS))
    # Sums depend on the order of their terms; in one order, equal folds give a difference of exactly 0.
    numbered = numbered.sort_values("fold", kind="stable")
    means = numbered.groupby(["class_id", "unit", "experiment"], observed=True)["iou"].mean()
    return means.unstack("experiment"), of_unit  # noqa: PD010 (a pivot table would drop classes without any IoU)


def _compare(
    values: pd.DataFrame,
    patients: pd.Series,
    unit: str,
    reference: str,
    experiments: Iterable[str],
    drawn: NDArray[np.int64],
) -> pd.DataFrame:
    rows = []
    for class_id, of_class in values.groupby(level="class_id"):
        for experiment in experiments:
            if experiment == reference:
                continue
            pairs = (of_class[experiment] - of_class[reference]).dropna()
            difference = pairs.to_numpy()
            ranked = difference[difference != 0]
            places = patients.loc[pairs.index.get_level_values("unit")].to_numpy()
            low, high = _interval(difference, places, drawn)
            rows.append(
                {
                    "reference": reference,
                    "experiment": experiment,
                    "class_id": class_id,
                    "unit": unit,
                    "n": ranked.size,
                    "median_difference": np.median(difference) if difference.size else np.nan,
                    "p_value": _p_value(ranked) if ranked.size >= FEWEST_PAIRS else np.nan,
                    "interval_low": low,
                    "interval_high": high,
                }
            )
    table = pd.DataFrame(rows)
    return (
        table.assign(p_holm=holm(table["p_value"].to_numpy(dtype=np.float64)))[COLUMNS]
        if rows
        else pd.DataFrame(columns=COLUMNS)
    )


def _p_value(differences: NDArray[np.float64]) -> float:
    """Give the two-sided p of `scipy.stats.wilcoxon`: exact for up to 50 pairs, with equal differences for up to 13."""
    ranks = stats.rankdata(np.abs(differences))
    if ranks.size > 13 or np.unique(ranks).size == ranks.size:
        return float(stats.wilcoxon(differences).pvalue)
    # SciPy goes through the same 2ⁿ patterns of signs one by one, which takes more than a second for 13 pairs.
    signs = np.indices((2,) * ranks.size, dtype=np.int8).reshape(ranks.size, -1)
    sums, observed = ranks @ signs, ranks[differences > 0].sum()
    return min(1.0, 2 * float(min(np.mean(sums <= observed), np.mean(sums >= observed))))


def _interval(
    differences: NDArray[np.float64], patients: NDArray[np.int64], drawn: NDArray[np.int64]
) -> tuple[float, float]:
    medians = resampled_medians(differences, patients, drawn)
    low, high = np.quantile(medians, [0.025, 0.975]) if medians.size else (np.nan, np.nan)
    return float(low), float(high)


def resampled_medians(
    values: NDArray[np.float64], patients: NDArray[np.int64], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the median of each drawn cohort.

    Args:
        values: (n,) one for each slice or patient.
        patients: (n,) whose it is, 0 … patients − 1.
        drawn: (resamples, patients) how often each patient is in each cohort.

    Returns:
        The medians, float64; cohorts in which no patient has a value are left out.
    """
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    # A value counts as often as its patient was drawn; the median is where half of the count is reached.
    reached = drawn[:, patients[order]].cumsum(axis=1)
    reached = reached[reached[:, -1] > 0] if values.size else reached[:0]
    total = reached[:, -1:] if values.size else reached
    lower = (reached < (total + 1) // 2).sum(axis=1)
    upper = (reached < total // 2 + 1).sum(axis=1)
    return (ascending[lower] + ascending[upper]) / 2


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
