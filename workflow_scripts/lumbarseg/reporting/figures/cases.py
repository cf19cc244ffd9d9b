"""Figure 7: predictions of several experiments next to the ground truth, for a good, a median and a bad case."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lumbarseg.evaluation.metrics import mean_iou_of_slice
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
from lumbarseg.reporting.slices import Case, restore_slices

_GAP = 0.04
_LEGEND_COLUMNS = 6
_MOST_COLUMNS = 8
_OPACITY = 0.6
_ZOOM = 0.35
"""Side of the zoomed square as a share of the slice's shorter side."""


@figure(
    "fig_7",
    section="Segmentation",
    caption="Best, median and worst test slice of the last experiment shown, and slices chosen by hand. The mean IoU of the slice "
    "is printed above each prediction; below it, the square where predictions differ most from the ground truth.",
    needs={"cases": "metrics/slices/cases.npz"},
    when="shown",
)
def figure_7(cases: Path, labels: LabelTable) -> Figure:
    """Draw Figure 7."""
    return case_comparison(restore_slices(cases, Case), labels)


def _zoomed_square(case: Case) -> tuple[int, int, int]:
    """Find the square with the most pixels that any of the predictions gets wrong: first row, first column, side."""
    rows, columns = case.truth.shape
    side = max(8, round(_ZOOM * min(rows, columns)))
    side = min(side, rows, columns)
    wrong = np.zeros(case.truth.shape, np.int64)
    for prediction in case.predictions.values():
        wrong += prediction != case.truth
    summed = np.pad(wrong, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    in_square = summed[side:, side:] - summed[:-side, side:] - summed[side:, :-side] + summed[:-side, :-side]
    row, column = np.unravel_index(np.argmax(in_square), in_square.shape)
    return int(row), int(column), side


@styled
def case_comparison(cases: Sequence[Case], classes: LabelTable) -> Figure:
    """Draw, for each case, the images, the ground truth and each experiment's prediction, with a zoom below each.

    The zoom shows the square in which the predictions have the most errors; above each prediction is its mean IoU over the
    foreground classes in this slice. With more than five experiments a case takes a further pair of rows.

    Args:
        cases: at least one, all with the same experiments and contrasts.
        classes: the label table.
    """
    inputs = ["T2w", *(["T1w"] if any(case.t1w is not None for case in cases) else []), "Ground truth"]
    titles = [*inputs, *cases[0].predictions]
    rows_each = -(-len(titles) // _MOST_COLUMNS)
    columns = -(-len(titles) // rows_each)
    margin = 1.3 * LINE
    side = min((PAGE_WIDTH - margin - _GAP * columns) / columns, 1.6)
    heading, between = 2.4 * LINE, 0.6 * LINE
    pair = heading + 2 * side + _GAP
    block = rows_each * pair + between
    shown_classes = [
        c for c in classes.foreground_ids if any((case.truth == c).any() or _predicted(case, c) for case in cases)
    ]
    legend = (legend_rows(shown_classes, _LEGEND_COLUMNS) + 0.8) * LINE * 1.25
    figure = new_figure(PAGE_WIDTH, len(cases) * block + legend)
    left_edge = (PAGE_WIDTH - margin - columns * (side + _GAP)) / 2 + margin
    for place, case in enumerate(cases):
        zoom_row, zoom_column, zoom_side = _zoomed_square(case)
        window = np.s_[zoom_row : zoom_row + zoom_side, zoom_column : zoom_column + zoom_side]
        for number, title in enumerate(titles):
            row, column = divmod(number, columns)
            left = left_edge + column * (side + _GAP)
            top = place * block + row * pair + heading
            image = _panel(case, title, classes)
            whole_slice, zoom = (panel_box(figure, left, top + down, side, side) for down in (0, side + _GAP))
            if image is None:
                whole_slice.set_axis_off()
                zoom.set_axis_off()
                continue
            show(whole_slice, image, case.spacing, _heading(case, title, classes))
            whole_slice.add_patch(
                Rectangle(
                    (zoom_column - 0.5, zoom_row - 0.5),
                    zoom_side,
                    zoom_side,
                    fill=False,
                    edgecolor="white",
                    linewidth=0.7,
                )
            )
            show(zoom, image[window], case.spacing)
        middle = place * block + (rows_each * pair + heading) / 2
        figure.text(
            (left_edge - margin / 2) / figure.get_figwidth(),
            1 - middle / figure.get_figheight(),
            case.name,
            rotation=90,
            ha="center",
            va="center",
            fontsize=8,
        )
    add_class_legend(figure, classes, shown_classes, _LEGEND_COLUMNS)
    return figure


def _predicted(case: Case, class_id: int) -> bool:
    return any((prediction == class_id).any() for prediction in case.predictions.values())


def _panel(case: Case, title: str, classes: LabelTable) -> NDArray[np.float32] | None:
    if title == "T2w":
        return grey_levels(case.t2w)
    if title == "T1w":
        return None if case.t1w is None else grey_levels(case.t1w)
    labels = case.truth if title == "Ground truth" else case.predictions[title]
    return coloured(case.t2w, labels, classes, _OPACITY)


def _heading(case: Case, title: str, classes: LabelTable) -> str:
    if title not in case.predictions:
        return title
    mean = mean_iou_of_slice(case.truth, case.predictions[title], classes)
    return f"{title}\n" + ("no foreground" if np.isnan(mean) else f"IoU {100 * mean:.1f} %")
