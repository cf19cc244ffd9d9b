"""Tables beyond the paper's: other measures than IoU, the statistical comparison in numbers, and the ranking."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.metrics import over_folds
from lumbarseg.evaluation.surface_distance import DISTANCES
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.writing import MISSING, Table

_SHARES = {"iou": "IoU (%)", "dice": "Dice (%)", "precision": "Precision (%)", "recall": "Recall (%)"}
_MILLIMETRES = {"hausdorff_95_mm": "HD95 (mm)", "average_distance_mm": "ASD (mm)"}


@table(
    "table_measures",
    section="Comparison",
    title="Overlap and distances",
    caption="Overlap (pixels pooled over a fold's test slices) and distances between contours (mean over the slices, in the plane), "
    "mean and standard deviation over the folds. HD95: 95th-percentile Hausdorff distance; ASD: average symmetric surface "
    "distance. Slices: slices with the class in ground truth or prediction, all folds together; missed, false: those of them with "
    "the class in the ground truth only, in the prediction only. There a distance is the slice's diagonal.",
    needs={"iou": "metrics/iou.csv", "distances": "metrics/surface_distances.csv"},
    when="measured",
)
def table_measures(iou: Path, distances: Path, measured: Sequence[str], labels: LabelTable) -> Table:
    """Make the table of measures."""
    return measures_table(read_csv(iou), read_csv(distances), measured, labels)


@table(
    "table_wilcoxon_{unit}",
    section="Comparison",
    title="Differences from the reference, {unit}s as units",
    caption="Differences from the reference in IoU per class, test {unit}s as units: median difference with its 95 % bootstrap "
    "interval (patients resampled) in per cent; p of the two-sided Wilcoxon signed-rank test, unadjusted and after Holm over all "
    "experiments and classes; n pairs that differ. Fewer than 6 pairs are not tested.",
    needs={"wilcoxon": "metrics/wilcoxon.csv"},
    for_each="units",
)
def table_wilcoxon(unit: str, wilcoxon: Path, compared: Sequence[str], labels: LabelTable) -> Table:
    """Make a table of the comparison."""
    return wilcoxon_table(read_csv(wilcoxon), compared, labels, unit)


@table(
    "table_ranking",
    section="Comparison",
    title="Ranking of the experiments",
    caption="Experiments by mean IoU without background (mean and standard deviation over the folds). Ranks are stable if they hold "
    "in cohorts resampled from the test patients: the range of ranks in 95 % of these cohorts, and in how many of them an "
    "experiment is first or among the ten best.",
    needs={"ranking": "metrics/ranking.csv"},
)
def table_ranking(ranking: Path) -> Table:
    """Make the table of the ranking."""
    return ranking_table(read_csv(ranking))


def measures_table(
    iou: pd.DataFrame, distances: pd.DataFrame, experiments: Sequence[str], classes: LabelTable
) -> Table:
    """List overlap and distances between contours, by experiment and class.

    Args:
        iou: the table `metrics/iou.csv`: pixels pooled over a fold's test slices.
        distances: the table `metrics/surface_distances.csv`: one row per slice.
        experiments: which to list.
        classes: the label table; the background is left out.

    Returns:
        Experiment, class_name, IoU, Dice, precision and recall in per cent, the mean over slices of the 95th-percentile
        Hausdorff and the average surface distance in mm (each the mean over the folds, with its standard deviation), and
        over all folds the slices that went into the distances, and of these the ones in which the class was missed, and
        in which it was found though it is not there.
    """
    means: list[dict[str, object]] = []
    deviations: list[dict[str, float]] = []
    by_slice = distances.dropna(subset=DISTANCES)
    for experiment in experiments:
        of_fold = iou[iou["experiment"] == experiment]
        slices = by_slice[by_slice["experiment"] == experiment]
        of_slices = slices.groupby(["fold", "class_id"])[DISTANCES].mean().reset_index()
        for class_id in classes.foreground_ids:
            row: dict[str, object] = {"Experiment": experiment, "class_name": classes[class_id].name}
            means.append(row)
            deviations.append({})
            for frame, names, factor in ((of_fold, _SHARES, 100), (of_slices, _MILLIMETRES, 1)):
                of_class = frame[frame["class_id"] == class_id]
                for column, heading in names.items():
                    over = over_folds(of_class, ["class_id"], column)
                    row[heading] = factor * over["mean"].iloc[0] if len(over) else np.nan
                    deviations[-1][heading] = factor * over["sd"].iloc[0] if len(over) else np.nan
            here = slices[slices["class_id"] == class_id]
            row["Slices"] = len(here)
            row["Missed"] = int((here["predicted_pixels"] == 0).sum())
            row["False"] = int((here["true_pixels"] == 0).sum())
    values = pd.DataFrame(means)
    # In print an experiment is named once; the CSV names it in each row.
    printed = (
        values.assign(Experiment=values["Experiment"].mask(values["Experiment"].duplicated(), ""))
        if len(values)
        else None
    )
    sd = pd.DataFrame(deviations).reindex(columns=values.columns)
    return Table(values, sd=sd, printed=printed, best_bold=False, missing=MISSING)


def wilcoxon_table(tested: pd.DataFrame, experiments: Sequence[str], classes: LabelTable, unit: str) -> Table:
    """List the comparison with the reference, class by class.

    Args:
        tested: the table `metrics/wilcoxon.csv`.
        experiments: the columns; the reference and those without results are left out.
        classes: the label table.
        unit: `slice` or `patient`.

    Returns:
        For the CSV the rows of `tested` with the class's name; as printed, in each cell the median difference with its
        interval in per cent, p, p after Holm, and n.
    """
    rows = tested[(tested["unit"] == unit) & tested["experiment"].isin(experiments)]
    printed = pd.DataFrame({"class_name": classes.names})
    for experiment in dict.fromkeys(name for name in experiments if name in set(rows["experiment"])):
        of_class = {row["class_id"]: row for row in rows[rows["experiment"] == experiment].to_dict("records")}
        printed[experiment] = [_compared(of_class[c]) if c in of_class else MISSING for c in range(len(classes))]
    names = rows["class_id"].map(dict(enumerate(classes.names)))
    values = rows.assign(class_name=names)[
        [
            "reference",
            "experiment",
            "class_id",
            "class_name",
            *rows.columns.drop(["reference", "experiment", "class_id"]),
        ]
    ]
    references = ", ".join(rows["reference"].unique())
    remark = f"The reference is {references}." if references else ""
    return Table(values, remark, printed=printed, best_bold=False, missing=MISSING)


def _compared(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["median_difference"]):
        return MISSING
    difference, low, high = (
        f"{100 * row[name]:+.1f}".replace("-", "−") for name in ("median_difference", "interval_low", "interval_high")
    )
    p = "not tested" if np.isnan(row["p_value"]) else f"p {_p(row['p_value'])}, Holm {_p(row['p_holm'])}"
    return f"{difference} [{low}, {high}]\n{p}\nn = {row['n']}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def ranking_table(ranking: pd.DataFrame, most: int = 30) -> Table:
    """List the best experiments, and how stable their ranks are.

    Args:
        ranking: the table `metrics/ranking.csv`.
        most: rows that are printed; the CSV has all.
    """
    shown = ranking.head(most)
    values = pd.DataFrame(
        {
            "Rank": shown["rank"],
            "Experiment": shown["experiment"],
            "IoU without Bg. (%)": 100 * shown["mean_iou"],
            "95 % of ranks": [_span(*pair) for pair in zip(shown["rank_low"], shown["rank_high"], strict=True)],
            "First (%)": 100 * shown["first_share"],
            "Among ten best (%)": 100 * shown["best_ten_share"],
            "Ranks of the folds": [
                _span(*pair) for pair in zip(shown["best_fold_rank"], shown["worst_fold_rank"], strict=True)
            ],
        }
    )
    sd = pd.DataFrame(dict.fromkeys(values, np.nan), index=values.index)
    sd["IoU without Bg. (%)"] = 100 * shown["sd"]
    remark = f"Shown are {len(shown)} of {len(ranking)} experiments; metrics/ranking.csv has all."
    return Table(values, remark, sd=sd, best_bold=False, missing=MISSING)


def _span(low: Any, high: Any) -> str:
    if pd.isna(low) or pd.isna(high):
        return MISSING
    return f"{low}" if low == high else f"{low} to {high}"
