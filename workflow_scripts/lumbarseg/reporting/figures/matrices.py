"""Figures of many small numbers: confusion matrices, and the IoU of each patient."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.confusion import confusion_shares
from lumbarseg.evaluation.metrics import read_rows
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import CHARACTER, LINE, PAGE_WIDTH, new_figure, panel_box, styled
from lumbarseg.reporting.registry import figure

_MAP = "cividis"
"""Matplotlib's colour map for the colour-blind."""


@figure(
    "patients",
    section="Comparison",
    title="Patients",
    caption="IoU of every test patient and class. A dark row is a patient that is difficult as a whole, a dark column a class that "
    "is difficult in all patients.",
    needs={"per_patient": "metrics/iou_per_patient.csv"},
    when="measured",
)
def figure_patients(per_patient: Path, measured: Sequence[str], labels: LabelTable) -> Figure:
    """Draw the IoU of the patients."""
    rows = read_rows([per_patient], ["experiment", "participant_id", "class_id", "iou"])
    return patient_overview(rows, measured, labels)


@figure(
    "confusion",
    section="Errors",
    title="Confusion matrices",
    caption="Which classes are labelled as which, all test slices and folds together. Off the diagonal, most pixels go to the "
    "background or to an adjacent tissue.",
    needs={"confusion": "metrics/confusion.csv"},
    when="measured",
)
def figure_confusion(confusion: Path, measured: Sequence[str], labels: LabelTable) -> Figure:
    """Draw the confusion matrices."""
    return confusion_matrices(read_csv(confusion), measured, labels)


def _text_colour(value: float, scale: Normalize) -> str:
    return "white" if float(scale(value)) < 0.5 else "black"


def _colour_bar(figure: Figure, scale: Normalize, label: str) -> None:
    width = 2.0
    axes = panel_box(
        figure, (figure.get_figwidth() - width) / 2, figure.get_figheight() - 2.9 * LINE, width, 0.6 * LINE
    )
    figure.colorbar(ScalarMappable(scale, _MAP), cax=axes, orientation="horizontal", label=label)


@styled
def confusion_matrices(confusion: pd.DataFrame, experiments: Sequence[str], classes: LabelTable) -> Figure:
    """Draw which classes are labelled as which, one panel for each experiment, all folds together.

    Args:
        confusion: the table `metrics/confusion.csv`.
        experiments: the panels, in this order.
        classes: the label table.
    """
    known = [name for name in experiments if name in set(confusion["experiment"])]
    names_width = max(len(name) for name in classes.names) * CHARACTER + 0.08
    columns = 1 if len(classes) > 14 or len(known) == 1 else 2
    heading, gap = 1.7 * LINE, 0.1
    side = min((PAGE_WIDTH - names_width - gap * columns) / columns, 0.32 * len(classes) + 0.3)
    rows = max(1, -(-len(known) // columns))
    foot = 3.4 * LINE
    figure = new_figure(PAGE_WIDTH, rows * (heading + side) + names_width + foot + LINE)
    edge = (PAGE_WIDTH - names_width - columns * (side + gap)) / 2 + names_width
    scale = Normalize(0, 100)
    for place, experiment in enumerate(known):
        row, column = divmod(place, columns)
        axes = panel_box(figure, edge + column * (side + gap), row * (heading + side) + heading, side, side)
        shares = 100 * confusion_shares(confusion, experiment, len(classes))
        axes.imshow(shares, cmap=_MAP, norm=scale)
        axes.set_facecolor("0.85")
        for true, predicted in np.argwhere(shares >= 0.5):
            value = shares[true, predicted]
            axes.text(predicted, true, f"{value:.0f}", ha="center", va="center", color=_text_colour(value, scale))
        axes.set_title(experiment)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        lowest = place + columns >= len(known)
        axes.set_xticks(range(len(classes)), classes.names if lowest else [], rotation=90)
        axes.set_yticks(range(len(classes)), classes.names if column == 0 else [])
    _colour_bar(figure, scale, "Of the pixels of a class (row), labelled as (column), %")
    return figure


@styled
def patient_overview(
    per_patient: pd.DataFrame, experiments: Sequence[str], classes: LabelTable, most: int = 60
) -> Figure:
    """Draw the IoU of every test patient and class, one panel for each experiment, worst patients first.

    Args:
        per_patient: the table `metrics/iou_per_patient.csv`.
        experiments: the panels; patients are ordered by the mean IoU of the last one, without background.
        classes: the label table; the background is left out.
        most: greatest number of patients drawn, the worst ones.
    """
    targets = per_patient[per_patient["class_id"] != classes.background]
    grouped = targets.groupby(["experiment", "participant_id", "class_id"], observed=True)["iou"].mean()
    means = 100 * grouped.unstack("class_id")  # noqa: PD010 (a pivot table would drop classes without any IoU)
    known = [name for name in experiments if name in means.index.get_level_values(0)]
    means = means.reindex(columns=classes.foreground_ids)
    order = (
        list(pd.DataFrame(means.xs(known[-1])).mean(axis=1).sort_values(kind="stable").index[:most]) if known else []
    )
    names_width = max([len(str(patient)) for patient in order] + [7]) * CHARACTER + 0.1
    column_names = max(len(classes[c].name) for c in classes.foreground_ids) * CHARACTER + 0.1
    heading, gap, row_height, foot = 1.7 * LINE, 0.1, 1.05 * LINE, 3.4 * LINE
    height = max(len(order), 1) * row_height
    cells = len(classes.foreground_ids) + 1
    # A column is at least as wide as a line of text is high, because its name is printed upright below it.
    columns = max(1, min(len(known), int((PAGE_WIDTH - names_width) / (LINE * cells + gap))))
    width = min((PAGE_WIDTH - names_width) / columns - gap, 0.3 * cells)
    block = heading + height + column_names
    figure = new_figure(PAGE_WIDTH, max(1, -(-len(known) // columns)) * block + foot)
    edge = (PAGE_WIDTH - names_width - columns * (width + gap)) / 2 + names_width
    scale = Normalize(0, 100)
    for place, experiment in enumerate(known):
        row, column = divmod(place, columns)
        axes = panel_box(figure, edge + column * (width + gap), row * block + heading, width, height)
        values = pd.DataFrame(means.xs(experiment)).reindex(order)
        shown = np.column_stack([values, values.mean(axis=1)])
        axes.imshow(shown, cmap=_MAP, norm=scale, aspect="auto")
        axes.set_facecolor("0.85")
        if width / cells >= 0.17:
            for (patient, cell), value in np.ndenumerate(shown):
                if np.isfinite(value):
                    text = f"{value:.0f}"
                    axes.text(cell, patient, text, ha="center", va="center", color=_text_colour(value, scale))
        axes.axvline(cells - 1.5, color="white", linewidth=1.5)
        axes.set_title(experiment)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks(range(cells), [*(classes[c].name for c in classes.foreground_ids), "mean"], rotation=90)
        axes.set_yticks(range(len(order)), order if column == 0 else [])
    _colour_bar(figure, scale, "IoU of a patient's slices, mean over the folds, % (grey: class in neither)")
    return figure
