"""IoU per class and experiment: Table 7 and the tables of the supplement, alone and next to the paper's values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lumbarseg.config import published
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.metrics import mean_iou, over_folds
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.writing import LETTERS, MISSING, WITH_BACKGROUND, WITHOUT_BACKGROUND, Table


@table(
    "{table}",
    section="Segmentation",
    caption="IoU per class in per cent (equations 3 and 4), mean and standard deviation over the folds.",
    needs={"iou": "metrics/iou.csv"},
    for_each="columns",
)
def table_iou(iou: Path, columns: Sequence[str], labels: LabelTable, folds: Sequence[int]) -> Table:
    """Make a table of IoU."""
    return iou_table(read_csv(iou), columns, labels, folds)


@table(
    "{table}_published",
    section="Segmentation",
    title="{title} next to the paper's values",
    caption="IoU per class in per cent next to the paper's values: in each cell this study, the paper, and the difference. The "
    "paper's cohort, masks and folds are not public, so values need not agree where cohorts differ.",
    needs={"iou": "metrics/iou.csv"},
    for_each="published_columns",
    below="{table}",
)
def table_published(
    table: str, iou: Path, published_columns: Sequence[str], labels: LabelTable, folds: Sequence[int]
) -> Table:
    """Set a table of IoU next to the paper's."""
    return published_companion(iou_table(read_csv(iou), published_columns, labels, folds), table)


def iou_table(
    iou: pd.DataFrame, experiments: Sequence[str], classes: LabelTable, folds: Sequence[int] | None = None
) -> Table:
    """Make a table of IoU per class and experiment, as Table 7 and the tables of the supplement.

    Args:
        iou: the table `metrics/iou.csv`.
        experiments: the columns, in their order.
        classes: the label table: a row for each class, then one for the mean over the foreground classes (equation 4) and
            one for the mean over all classes.
        folds: the study's folds, to find missing ones; by default those of `iou`.

    Returns:
        Means over the folds, in per cent: class_id (missing in the last two rows), class_name, one column an experiment;
        with standard deviations over the folds, and footnotes marked in their cells: experiments or folds without results, and
        IoUs that do not exist.
    """
    columns = list(dict.fromkeys(experiments))
    found = iou[iou["experiment"].isin(columns)]
    by_class = over_folds(found, ["experiment", "class_id"], "iou")
    averages = mean_iou(found, classes.background)
    rows = [*range(len(classes)), WITHOUT_BACKGROUND, WITH_BACKGROUND]
    frames = []
    for statistic in ("mean", "sd"):
        per_class = by_class.set_index(["class_id", "experiment"])[statistic].unstack()  # noqa: PD010 (keeps all-NaN columns)
        bottom = {
            row: over_folds(averages, ["experiment"], column).set_index("experiment")[statistic]
            for row, column in ((WITHOUT_BACKGROUND, "without_background"), (WITH_BACKGROUND, "with_background"))
        }
        cells = pd.concat([per_class, pd.DataFrame(bottom).T]).reindex(index=rows, columns=columns) * 100
        cells = cells.astype(np.float64).round(4).reset_index(drop=True)
        cells.insert(0, "class_id", pd.Series([*range(len(classes)), None, None], dtype="Int64"))
        cells.insert(1, "class_name", [*classes.names, WITHOUT_BACKGROUND, WITH_BACKGROUND])
        frames.append(cells)
    expected = sorted(iou["fold"].unique()) if folds is None else list(folds)
    marks, footnotes = _footnotes(found, columns, classes, expected)
    return Table(frames[0], sd=frames[1], marks=marks, footnotes=footnotes, missing=MISSING)


def _footnotes(
    found: pd.DataFrame, columns: Sequence[str], classes: LabelTable, folds: Sequence[int]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the letters by cell, and the footnotes."""
    marks = pd.DataFrame("", index=range(len(classes) + 2), columns=list(columns))
    sentences: list[str] = []

    def note(sentence: str, rows: Sequence[int], experiments: Sequence[str]) -> None:
        letter = LETTERS[len(sentences) % len(LETTERS)]
        sentences.append(f"{letter} {sentence}")
        for experiment in experiments:
            marks[experiment] = [mark + letter if row in rows else mark for row, mark in enumerate(marks[experiment])]

    everywhere = range(len(marks))
    folds_of = found.groupby("experiment")["fold"].unique()
    without = [name for name in columns if name not in folds_of.index]
    if without:
        note(f"No results yet for {', '.join(without)}.", everywhere, without)
    for fold in folds:
        lacking = [name for name in columns if name not in without and fold not in folds_of[name]]
        if lacking:
            note(f"Without fold {fold}, which has no results of {', '.join(lacking)}.", everywhere, lacking)
    missing = found[found["iou"].isna()]
    for class_id in sorted(int(found_id) for found_id in missing["class_id"].unique()):
        rows = missing[missing["class_id"] == class_id]
        affected = list(dict.fromkeys(rows["experiment"].astype(str)))
        bottom = [len(classes), len(classes) + 1] if class_id != classes.background else [len(classes) + 1]
        if (found.loc[found["class_id"] == class_id, "iou"].isna()).all():
            places = "any experiment and fold of this table"
        else:
            places = ", ".join(
                f"{name} (fold {fold})" for name, fold in zip(rows["experiment"], rows["fold"], strict=True)
            )
        note(
            f"{classes[class_id].name} is neither in the truth nor in the prediction of {places}; "
            "such folds and classes are left out of the means.",
            [class_id, *bottom],
            affected,
        )
    return marks, sentences


def published_companion(table: Table, name: str) -> Table:
    """Set each cell of a table next to the paper's value, and the difference.

    Args:
        table: what `iou_table` gives, of a study with the paper's classes.
        name: the table's name, `table_A1`. A value that the paper's table of this name does not have is taken from its other
            tables.

    Returns:
        For the CSV three columns an experiment, in per cent: `UMD+TH`, `UMD+TH published` and `UMD+TH difference` (ours −
        published); as printed, the three in one cell, one above the other.
    """
    values = table.values[["class_id", "class_name"]].copy()
    printed = table.values[["class_name"]].copy()
    experiments = [str(column) for column in table.values if column not in ("class_id", "class_name")]
    rows = list(table.values["class_name"])
    for experiment in experiments:
        ours = table.values[experiment]
        found = [published.cell(name, experiment, row) for row in rows]
        theirs = pd.Series([np.nan if value is None else value for value in found], index=ours.index)
        values[experiment] = ours
        values[f"{experiment} published"] = theirs
        values[f"{experiment} difference"] = (ours - theirs).round(4)
        printed[experiment] = [_compared(*pair) for pair in zip(ours, theirs, strict=True)]
    footnotes = list(table.footnotes)
    unknown = [e for e in experiments if published.cell(name, e, rows[0]) is None]
    if unknown:
        footnotes.append(f"The paper prints no values of {', '.join(unknown)}.")
    footnotes += [
        f"{experiment}, {row}: {matter}."
        for (where, experiment, row), matter in published.ERRATA.items()
        if where == name and experiment in experiments
    ]
    return Table(values, printed=printed, marks=table.marks, footnotes=footnotes, best_bold=False, missing=MISSING)


def _compared(ours: float, theirs: float) -> str:
    difference = ours - theirs
    texts = [MISSING if np.isnan(value) else f"{value:.1f}" for value in (ours, theirs)]
    return "\n".join([*texts, MISSING if np.isnan(difference) else f"{difference:+.1f}".replace("-", "−")])
