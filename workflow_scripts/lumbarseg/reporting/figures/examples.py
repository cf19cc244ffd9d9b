"""Figure 2 (slices with their labels) and Figure 3 (preprocessing steps)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import (
    LINE,
    PAGE_WIDTH,
    add_class_legend,
    checkerboard,
    coloured,
    grey_levels,
    legend_rows,
    new_figure,
    panel_box,
    series_colours,
    show,
    styled,
)
from lumbarseg.reporting.registry import figure
from lumbarseg.reporting.slices import LabelledSlice, Preprocessing, restore_slices

_GAP = 0.06
_LEGEND_COLUMNS = 6


@figure(
    "fig_2",
    section="Data",
    caption="Two slices of one session with their ground truth in the colours of the label table.",
    needs={"examples": "metrics/slices/examples.npz"},
)
def figure_2(examples: Path, labels: LabelTable) -> Figure:
    """Draw Figure 2."""
    return labelled_slices(restore_slices(examples, LabelledSlice), labels)


@figure(
    "fig_3",
    section="Data",
    caption="From images to patches: T1w before and after registration, z-scores, and overlapping patches. In the checkerboards, "
    "edges that continue from field to field are registered.",
    needs={"steps": "metrics/slices/preprocessing.npz"},
)
def figure_3(steps: Path, labels: LabelTable) -> Figure:
    """Draw Figure 3."""
    (example,) = restore_slices(steps, Preprocessing)
    return preprocessing_steps(example, labels)


@styled
def labelled_slices(examples: Sequence[LabelledSlice], classes: LabelTable) -> Figure:
    """Draw T1w, T2w and ground truth of some slices, with the legend of the classes (Figure 2).

    Args:
        examples: one row each.
        classes: the label table.
    """
    with_t1w = any(example.t1w is not None for example in examples)
    contrasts = ["T1w", "T2w"] if with_t1w else ["T2w"]
    titles = [*contrasts, "Ground truth"]
    side = min((PAGE_WIDTH - LINE - _GAP * (len(titles) + 1)) / len(titles), 2.4)
    legend = (legend_rows(range(len(classes)), _LEGEND_COLUMNS) + 0.8) * LINE * 1.25
    width = LINE + _GAP + len(titles) * (side + _GAP)
    figure = new_figure(PAGE_WIDTH, 1.5 * LINE + len(examples) * (side + _GAP) + legend)
    left_edge = (PAGE_WIDTH - width) / 2
    for row, example in enumerate(examples):
        top = 1.5 * LINE + row * (side + _GAP)
        images = {
            "T1w": None if example.t1w is None else grey_levels(example.t1w),
            "T2w": grey_levels(example.t2w),
            "Ground truth": coloured(example.t2w, example.truth, classes, opacity=1),
        }
        for column, title in enumerate(titles):
            axes = panel_box(figure, left_edge + LINE + _GAP + column * (side + _GAP), top, side, side)
            axes.set_axis_off()
            image = images[title]
            if image is not None:
                show(axes, image, example.spacing)
            if row == 0:
                axes.set_title(title)
        centre = (left_edge + LINE / 2) / figure.get_figwidth()
        middle = 1 - (top + side / 2) / figure.get_figheight()
        figure.text(centre, middle, example.name, rotation=90, ha="center", va="center")
    add_class_legend(figure, classes, range(len(classes)), _LEGEND_COLUMNS)
    return figure


@styled
def preprocessing_steps(example: Preprocessing, classes: LabelTable) -> Figure:
    """Draw the steps from converted images to patches (Figure 3): registration, z-score, joining, patches.

    Args:
        example: one slice at each step.
        classes: the label table.
    """
    panels: list[tuple[str, str]] = []
    if example.t1w_before is not None and example.t1w_after is not None:
        panels += [("a", "T2w | T1w before registration"), ("a", "T2w | T1w after registration")]
    panels.append(("b", "T2w, z-score"))
    if example.normalised_t1w is not None:
        panels.append(("b", "T1w, z-score"))
    panels += [("c, d", f"Patches {example.side} × {example.side}"), ("d", "Patches of the ground truth")]
    columns = 3 if len(panels) > 4 else len(panels)
    rows = -(-len(panels) // columns)
    side = (PAGE_WIDTH - _GAP * (columns + 1)) / columns
    heading, scale = 1.6 * LINE, 2.6 * LINE
    figure = new_figure(PAGE_WIDTH, rows * (heading + side + scale))
    for place, (step, title) in enumerate(panels):
        row, column = divmod(place, columns)
        axes = panel_box(
            figure,
            _GAP + column * (side + _GAP),
            row * (heading + side + scale) + heading,
            side,
            side,
        )
        title = f"({step}) {title}"
        if "registration" in title:
            t1w = example.t1w_before if "before" in title else example.t1w_after
            assert t1w is not None
            show(axes, checkerboard(example.t2w, t1w), example.spacing, title)
        elif "z-score" in title:
            z_scores = example.normalised_t2w if "T2w" in title else example.normalised_t1w
            assert z_scores is not None
            limit = float(np.ceil(np.percentile(np.abs(z_scores), 99.5)))
            picture = axes.imshow(
                z_scores, cmap="gray", vmin=-limit, vmax=limit, aspect=example.spacing[0] / example.spacing[1]
            )
            axes.set_axis_off()
            axes.set_title(title)
            bar = axes.inset_axes((0.2, -0.05, 0.6, 0.03))
            figure.colorbar(picture, cax=bar, orientation="horizontal", ticks=[-limit, 0, limit])
        else:
            truth = "truth" in title
            image = coloured(example.t2w, example.truth, classes, 1) if truth else grey_levels(example.t2w)
            show(axes, image, example.spacing, title)
            _outline_patches(axes, example)
    return figure


def _outline_patches(axes: Axes, example: Preprocessing) -> None:
    """Outline all patches; neighbours overlap, so each is drawn a little smaller than the last and in another colour."""
    starts = [(row, column) for row in example.row_starts for column in example.column_starts]
    for place, ((row, column), colour) in enumerate(zip(starts, series_colours(len(starts)), strict=True)):
        inset = 2 + 3 * (place % 3)
        side = example.side - 1 - 2 * inset
        axes.add_patch(
            Rectangle((column + inset, row + inset), side, side, fill=False, edgecolor=colour, linewidth=1.2)
        )
