"""Error maps: where a prediction differs from the ground truth, and how."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
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

_GAP = 0.05
_LEGEND_COLUMNS = 6
_OPACITY = 0.6
_KINDS = {
    "missed (background instead)": "#4477AA",
    "false (background in truth)": "#EE6677",
    "another class": "#CCBB44",
}
"""What an error is, in colours of Paul Tol's scheme `bright`, distinguishable by colour-blind readers."""


@figure(
    "errors_{experiment}",
    section="Errors",
    title="Errors of {experiment}",
    caption="The test slices in which {experiment} is worst, one a patient: images, ground truth, prediction, and which pixels are "
    "missed, false or of another class.",
    needs={"worst": "metrics/slices/worst_{experiment}.npz"},
    for_each="shown",
)
def figure_errors(experiment: str, worst: Path, labels: LabelTable) -> Figure:
    """Draw the errors of an experiment."""
    return error_maps(restore_slices(worst, Case), labels)


def error_kinds(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """Classify pixels: 0 correct, 1 missed (background instead of a class), 2 false (a class instead of background), 3 another class.

    Args:
        truth: (H, W) class ids.
        predicted: (H, W) class ids.
        background: id of the background.
    """
    wrong = truth != predicted
    kinds = np.where(predicted == background, 1, np.where(truth == background, 2, 3))
    return np.where(wrong, kinds, 0).astype(np.uint8)


@styled
def error_maps(cases: Sequence[Case], classes: LabelTable) -> Figure:
    """Draw slices with T2w, ground truth, prediction and a map of the errors, a row each.

    Args:
        cases: slices with the prediction of one experiment.
        classes: the label table.
    """
    titles = ["T2w", "Ground truth", "Prediction", "Errors"]
    margin, heading = 2.3 * LINE, 1.5 * LINE
    side = min((PAGE_WIDTH - margin - _GAP * len(titles)) / len(titles), 1.65)
    predictions = [next(iter(case.predictions.values())) for case in cases]
    present = [
        c
        for c in classes.foreground_ids
        if any((case.truth == c).any() or (p == c).any() for case, p in zip(cases, predictions, strict=True))
    ]
    legend = (legend_rows(present, _LEGEND_COLUMNS) + 2.4) * LINE * 1.25
    figure = new_figure(PAGE_WIDTH, heading + len(cases) * (side + _GAP) + legend)
    left_edge = (PAGE_WIDTH - margin - len(titles) * (side + _GAP)) / 2 + margin
    paints = np.array(
        [[0, 0, 0], *([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in _KINDS.values())], np.float32
    )
    for row, (case, predicted) in enumerate(zip(cases, predictions, strict=True)):
        top = heading + row * (side + _GAP)
        kinds = error_kinds(case.truth, predicted, classes.background)
        grey = np.repeat(grey_levels(case.t2w)[..., np.newaxis], 3, axis=-1)
        images = {
            "T2w": grey_levels(case.t2w),
            "Ground truth": coloured(case.t2w, case.truth, classes, _OPACITY),
            "Prediction": coloured(case.t2w, predicted, classes, _OPACITY),
            "Errors": np.where(kinds[..., np.newaxis] > 0, paints[kinds], 0.8 * grey),
        }
        for column, title in enumerate(titles):
            axes = panel_box(figure, left_edge + column * (side + _GAP), top, side, side)
            show(axes, images[title], case.spacing, title if row == 0 else "")
        mean = mean_iou_of_slice(case.truth, predicted, classes)
        figure.text(
            (left_edge - 0.5 * margin) / figure.get_figwidth(),
            1 - (top + side / 2) / figure.get_figheight(),
            f"{case.name}\n" + ("no foreground" if np.isnan(mean) else f"IoU {100 * mean:.1f} %"),
            rotation=90,
            ha="center",
            va="center",
        )
    figure.legend(
        handles=[Patch(facecolor=colour, label=name) for name, colour in _KINDS.items()],
        loc="lower center",
        bbox_to_anchor=(0.5, (legend - 2.1 * LINE * 1.25) / figure.get_figheight()),
        ncols=3,
        handlelength=1,
        handleheight=1,
        borderaxespad=0,
    )
    add_class_legend(figure, classes, present, _LEGEND_COLUMNS)
    return figure
