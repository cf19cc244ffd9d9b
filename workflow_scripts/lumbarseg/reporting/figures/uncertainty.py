"""Where an ensemble is uncertain, next to where it is wrong."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import (
    LINE,
    PAGE_WIDTH,
    add_class_legend,
    coloured,
    grey_levels,
    legend_rows,
    new_figure,
    panel_box,
    show,
    styled,
)
from lumbarseg.reporting.registry import figure
from lumbarseg.reporting.slices import UncertainSlice, restore_slices

_GAP = 0.05
_LEGEND_COLUMNS = 6
_MAP = "magma"
"""From dark to light in even steps, also for the colour-blind."""


@figure(
    "uncertainty",
    section="Uncertainty and calibration",
    title="Uncertainty",
    caption="Best, median and worst test slice: where the ensemble is wrong (in the colour of the class that was missed; white where "
    "there is none), the entropy of its scores, and how far its networks disagree (mutual information). uncertainty/ has the maps "
    "of all test sessions.",
    needs={"slices": "metrics/slices/uncertainty.npz"},
    when="uncertain",
)
def figure_uncertainty(slices: Path, labels: LabelTable, uncertain: str) -> Figure:
    """Draw the maps of uncertainty."""
    return uncertainty_maps(restore_slices(slices, UncertainSlice), labels, uncertain)


@styled
def uncertainty_maps(slices: Sequence[UncertainSlice], classes: LabelTable, experiment: str) -> Figure:
    """Draw T2w, ground truth, prediction, errors, entropy and mutual information of some slices, one row each.

    Args:
        slices: at least one.
        classes: the label table.
        experiment: whose prediction and maps they are.
    """
    titles = ["T2w", "Ground truth", experiment, "Wrong", "Entropy", "Mutual information"]
    margin = 1.3 * LINE
    side = (PAGE_WIDTH - margin) / len(titles) - _GAP
    shown = [
        c
        for c in classes.foreground_ids
        if any((one.truth == c).any() or (one.prediction == c).any() for one in slices)
    ]
    legend = (legend_rows(shown, _LEGEND_COLUMNS) + 0.8) * LINE * 1.25
    heading, bars = 1.5 * LINE, 2.6 * LINE
    figure = new_figure(PAGE_WIDTH, heading + len(slices) * (side + _GAP) + bars + legend)
    most = {
        "Entropy": max(float(one.entropy.max()) for one in slices) or 1.0,
        "Mutual information": max(float(one.mutual_information.max()) for one in slices) or 1.0,
    }
    for row, one in enumerate(slices):
        top = heading + row * (side + _GAP)
        wrong = np.where(one.truth != one.prediction, one.truth, classes.background).astype(np.uint8)
        missed = (one.truth != one.prediction) & (one.truth == classes.background)
        errors = coloured(one.t2w, wrong, classes, opacity=1)
        errors[missed] = 1.0  # background labelled as a class: white, because the background has no colour
        panels = {
            "T2w": grey_levels(one.t2w),
            "Ground truth": coloured(one.t2w, one.truth, classes, opacity=0.6),
            experiment: coloured(one.t2w, one.prediction, classes, opacity=0.6),
            "Wrong": errors,
        }
        maps = {"Entropy": one.entropy, "Mutual information": one.mutual_information}
        for column, title in enumerate(titles):
            axes = panel_box(figure, margin + column * (side + _GAP), top, side, side)
            if title in panels:
                show(axes, panels[title], one.spacing, title if row == 0 else "")
            else:
                show(axes, maps[title], one.spacing, title if row == 0 else "")
                axes.images[0].set(cmap=_MAP, norm=Normalize(0, most[title]))
        figure.text(
            margin / 2 / figure.get_figwidth(), 1 - (top + side / 2) / figure.get_figheight(), one.name, rotation=90,
            ha="center", va="center", fontsize=8,
        )  # fmt: skip
    for column, title in enumerate(titles[-2:], start=len(titles) - 2):
        top = heading + len(slices) * (side + _GAP) + 0.3 * LINE
        axes = panel_box(figure, margin + column * (side + _GAP) + 0.1 * side, top, 0.8 * side, 0.5 * LINE)
        bar = figure.colorbar(ScalarMappable(Normalize(0, most[title]), _MAP), cax=axes, orientation="horizontal")
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.set_label("nats")
    add_class_legend(figure, classes, shown, _LEGEND_COLUMNS)
    return figure
