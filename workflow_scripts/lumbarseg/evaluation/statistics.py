"""The Wilcoxon signed-rank test of every experiment against the reference, per class (Section 6, Figure 8)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lumbarseg.evaluation.metrics import COUNTS, SLICE, iou

FEWEST_PAIRS = 6
"""Minimum number of pairs for a test: with five, the smallest possible two-sided p is 2/2⁵ = 0.0625."""

COLUMNS = [
    "reference", "experiment", "class_id", "unit", "n", "median_difference", "p_value", "p_holm", "interval_low", "interval_high",
]  # fmt: skip


def wilcoxon(per_slice: pd.DataFrame, reference: str, resamples: int = 1000, seed: int = 1) -> pd.DataFrame:
    """Test each experiment against the reference in IoU_c, per class: the table `metrics/wilcoxon.csv`.

    Pairs are formed of test slices, as in the paper, and of test patients, because the slices of a patient are not
    independent. The IoU_c of a slice is averaged over the folds that have one. The IoU_c of a patient is computed from the
    counts of all slices and averaged over the folds. Pairs with a missing IoU, and pairs without difference (Wilcoxon's
    treatment of zeros, 1945), are left out. The two-sided p is that of `scipy.stats.wilcoxon`.

    The p-values are adjusted after Holm (1979), with one family per unit that comprises all experiments and classes.

    The interval of the median difference contains 95 % of the medians of resampled cohorts. Patients are drawn with all
    their slices (Field and Welsh 2007), so that the similarity of a patient's slices does not narrow the interval.

    Args:
        per_slice: the table `metrics/iou_per_slice.csv`.
        reference: name of the experiment that the others are compared with.
        resamples: number of cohorts drawn for the interval.
        seed: seed of the drawing.

    Returns:
        reference, experiment, class_id, unit (slice, patient), n (number of ranked pairs), median_difference (experiment −
        reference, over all pairs with both values; −1 … 1), p_value and p_holm (NaN if n < 6), interval_low and
        interval_high (−1 … 1; NaN if no pair has both values).

    Raises:
        ValueError: the reference is not among the experiments.
    """
    experiments = [str(name) for name in per_slice["experiment"].unique()]
    if reference not in experiments:
        raise ValueError(f"the reference {reference} is not among the experiments {', '.join(experiments)}")
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
    """Draw cohorts with replacement; return how often each cohort has each patient, (resamples, patients) int64."""
    return np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=resamples)


def _units_by_experiment(per_slice: pd.DataFrame, unit: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the IoU averaged over folds, as (class and unit) × experiment, and the patient of each unit."""
    names = SLICE if unit == "slice" else ["participant_id"]
    # One number per unit instead of several texts: with millions of rows, grouping by texts takes minutes.
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
    # Sums depend on the order of their terms; sorted, folds of equal values give a difference of exactly 0.
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
    """Compute the two-sided p of `scipy.stats.wilcoxon`: exact for up to 50 pairs, with tied differences for up to 13."""
    ranks = stats.rankdata(np.abs(differences))
    if ranks.size > 13 or np.unique(ranks).size == ranks.size:
        return float(stats.wilcoxon(differences).pvalue)
    # SciPy enumerates the same 2ⁿ sign patterns one by one, which takes more than a second for 13 pairs.
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
    """Compute the median of each drawn cohort.

    Args:
        values: (n,), one value for each slice or patient.
        patients: (n,), index of the patient of each value, 0 … patients − 1.
        drawn: (resamples, patients), how often each cohort has each patient.

    Returns:
        The medians, float64; cohorts without any value are left out.
    """
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    # Each value counts as often as its patient was drawn; the median is where half of the total count is reached.
    reached = drawn[:, patients[order]].cumsum(axis=1)
    reached = reached[reached[:, -1] > 0] if values.size else reached[:0]
    total = reached[:, -1:] if values.size else reached
    lower = (reached < (total + 1) // 2).sum(axis=1)
    upper = (reached < total // 2 + 1).sum(axis=1)
    return (ascending[lower] + ascending[upper]) / 2


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for a family of tests with the step-down method of Holm (1979).

    Args:
        p_values: (n,), 0 … 1; NaN for missing tests, which do not count in the family.

    Returns:
        (n,), adjusted p-values, 0 … 1; NaN stays NaN.
    """
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    remaining = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * remaining), 1)
    return adjusted
