"""A session's slices with contours, to check before training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import (
    LINE,
    PAGE_WIDTH,
    add_class_legend,
    checkerboard,
    grey_levels,
    legend_rows,
    new_figure,
    panel_box,
    show,
    styled,
)
from lumbarseg.reporting.slices import SessionImages

_GAP = 0.05
_LEGEND_COLUMNS = 6
_SLICES = (0.25, 0.5, 0.75)  # places in the stack, from the patient's right to left


@styled
def session_quality(session: SessionImages, classes: LabelTable) -> Figure:
    """Draw three slices of T2w and T1w with the contours of the mask, and a checkerboard of T2w and T1w of the middle one.

    Args:
        session: the images; what is None is left out.
        classes: the label table.
    """
    slices = [round(place * (len(session.t2w) - 1)) for place in _SLICES]
    rows: list[tuple[str, NDArray[np.generic]]] = [("T2w", session.t2w)]
    fields: list[tuple[str, NDArray[np.generic]]] = []
    if session.t1w_before is not None and session.t1w_after is not None:
        rows.append(("T1w", session.t1w_after))
        fields = [("headers", session.t1w_before), ("registered", session.t1w_after)]
    present = (
        [] if session.labels is None else [c for c in classes.foreground_ids if (session.labels[slices] == c).any()]
    )
    columns = len(slices) + bool(fields)
    side = (PAGE_WIDTH - _GAP * (columns + 1)) / columns
    heading = 1.4 * LINE
    legend = (legend_rows(present, _LEGEND_COLUMNS) + 0.6) * LINE * 1.25 if present else 0.1
    figure = new_figure(PAGE_WIDTH, len(rows) * (heading + side) + legend)
    for row, (name, volume) in enumerate(rows):
        top = row * (heading + side) + heading
        for column, number in enumerate(slices):
            axes = panel_box(figure, _GAP + column * (side + _GAP), top, side, side)
            show(axes, grey_levels(volume[number]), session.spacing, f"{name}, slice {number + 1} of {len(volume)}")
            if session.labels is not None:
                _outline(axes, session.labels[number], classes, present)
        if fields:
            how, t1w = fields[row]
            axes = panel_box(figure, _GAP + len(slices) * (side + _GAP), top, side, side)
            middle = slices[len(slices) // 2]
            show(axes, checkerboard(session.t2w[middle], t1w[middle]), session.spacing, f"T2w | T1w, {how}")
    if present:
        add_class_legend(figure, classes, present, _LEGEND_COLUMNS)
    return figure


def _outline(axes: Axes, labels: NDArray[np.uint8], classes: LabelTable, ids: Sequence[int]) -> None:
    for tissue in ids:
        inside = (labels == tissue).astype(np.float32)
        if 0 < inside.sum() < inside.size:
            axes.contour(inside, levels=[0.5], colors=[classes[tissue].colour], linewidths=0.6)
