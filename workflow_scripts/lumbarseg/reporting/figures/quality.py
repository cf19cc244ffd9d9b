"""Figures to look at before anything is trained: each session's slices with contours, and all registrations at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.slices import checkerboard
from lumbarseg.reporting.figures.style import (
    LINE,
    PAGE_WIDTH,
    add_class_legend,
    grey_levels,
    legend_rows,
    new_figure,
    panel_box,
    series_colours,
    show,
    styled,
)

_GAP = 0.05
_LEGEND_COLUMNS = 6
_SLICES = (0.25, 0.5, 0.75)  # places in the stack, from the patient's right to left


@dataclass(frozen=True)
class SessionImages:
    """A session in sagittal view, all arrays (slices, rows, columns).

    Attributes:
        t2w: any intensities.
        t1w_before: T1w on the T2w grid by the headers' word alone; None where the study does without.
        t1w_after: T1w on the T2w grid after registration; None with `t1w_before`.
        labels: uint8 class ids; None without a mask.
        spacing: millimetres between rows and between columns.
    """

    t2w: NDArray[np.generic]
    t1w_before: NDArray[np.generic] | None
    t1w_after: NDArray[np.generic] | None
    labels: NDArray[np.uint8] | None
    spacing: tuple[float, float]


@styled
def session_quality(session: SessionImages, classes: LabelTable) -> Figure:
    """Draw three slices of T2w and T1w with the contours of the mask, and the middle one in fields of T2w and T1w.

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


@styled
def registration_overview(sessions: pd.DataFrame, limits: Mapping[str, float]) -> Figure:
    """Draw how far each T1w was moved, and how alike it and T2w are before and after.

    Args:
        sessions: a row a session: session, shift_mm, rotation_degrees, before and after (mutual information, nats), flag
            (empty where there is none).
        limits: `unusual_shift_mm` (mm) and `unusual_rotation_deg` (degrees), drawn as lines.
    """
    figure = new_figure(PAGE_WIDTH, 2.9)
    moved, alike = figure.subplots(
        1, 2, gridspec_kw={"left": 0.07, "right": 0.98, "bottom": 0.15, "top": 0.9, "wspace": 0.25}
    )
    usual, unusual, *_ = series_colours(2)
    flagged = sessions["flag"].ne("")
    for chosen, colour, name in ((~flagged, usual, "as expected"), (flagged, unusual, "flagged")):
        rows = sessions[chosen]
        moved.scatter(
            rows["shift_mm"], rows["rotation_degrees"], s=14, color=colour, alpha=0.8, linewidths=0, label=name
        )
        alike.scatter(rows["before"], rows["after"], s=14, color=colour, alpha=0.8, linewidths=0)
    for row in sessions[flagged].itertuples():
        name = str(row.session).removeprefix("sub-")
        place = {"xytext": (0, 4), "textcoords": "offset points", "ha": "right", "va": "bottom"}
        moved.annotate(name, (row.shift_mm, row.rotation_degrees), **place)
    moved.axvline(limits["unusual_shift_mm"], color="0.6", linewidth=0.6, linestyle=":")
    moved.axhline(limits["unusual_rotation_deg"], color="0.6", linewidth=0.6, linestyle=":")
    moved.set(xlabel="shift at the centre (mm)", ylabel="rotation (degrees)", title="How far T1w is moved")
    moved.set_xlim(left=0)
    moved.set_ylim(bottom=0)
    moved.legend(loc="best")
    ends = [min(sessions[["before", "after"]].min()), max(sessions[["before", "after"]].max())]
    alike.plot(ends, ends, color="0.6", linewidth=0.6, linestyle=":")
    alike.set(
        xlabel="by the headers (nats)", ylabel="registered (nats)", title="Mutual information of T2w and T1w"
    )  # fmt: skip
    return figure
