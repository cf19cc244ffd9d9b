"""Where an ensemble is unsure, beside where it is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

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

_GAP = 0.05
_LEGEND_COLUMNS = 6
_MAP = "magma"
"""From dark to light in even steps, for the colour-blind as well."""


@dataclass(frozen=True)
class UncertainSlice:
    """One test slice, what an ensemble made of it, and how sure it was.

    Attributes:
        name: shown beside it.
        t2w: (H, W), any intensities.
        truth: (H, W) uint8 class ids.
        prediction: (H, W) uint8 class ids.
        entropy: (H, W) nats, of the ensemble's scores.
        mutual_information: (H, W) nats, how far its networks disagree.
        spacing: millimetres between rows and between columns.
    """

    name: str
    t2w: NDArray[np.floating]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    entropy: NDArray[np.floating]
    mutual_information: NDArray[np.floating]
    spacing: tuple[float, float]


@styled
def uncertainty_maps(slices: Sequence[UncertainSlice], classes: LabelTable, experiment: str) -> Figure:
    """Draw T2w, truth, prediction, wrong pixels, entropy and mutual information of some slices, a row each.

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
        errors[missed] = 1.0  # too much: white, for the background has no colour
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
