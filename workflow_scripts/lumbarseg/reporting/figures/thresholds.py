"""IoU against the threshold of each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import LINE, page_wide_panels, series_colours, styled
from lumbarseg.reporting.registry import figure

_FOLD_LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


@figure(
    "threshold_curves",
    section="Training",
    title="Thresholds",
    caption="IoU of each class on the validation slices against its threshold; the dot is the threshold that was chosen. Where a "
    "curve is flat, the threshold hardly matters.",
    needs={"curves": "metrics/threshold_curves.csv"},
    when="threshold_models",
)
def figure_thresholds(curves: Path, threshold_models: Sequence[str], labels: LabelTable) -> Figure:
    """Draw the threshold curves of the models shown."""
    rows = read_csv(curves)
    return threshold_curves(rows[rows["model"].isin(threshold_models)], labels)


@styled
def threshold_curves(curves: pd.DataFrame, classes: LabelTable) -> Figure:
    """Draw the IoU on the validation slices against the threshold, one panel for each class (Section 4.3.2).

    A colour for each model, a line style for each fold, a dot at the threshold chosen.

    Args:
        curves: model, fold, class_name, threshold, iou (0 … 1) and chosen (whether it is the chosen threshold).
        classes: the label table.
    """
    models = list(dict.fromkeys(curves["model"]))
    folds = sorted(curves["fold"].unique())
    handles = [
        *(Line2D([], [], color=colour, label=name) for name, colour in zip(models, series_colours(len(models)), strict=True)),
        *(Line2D([], [], color="0.3", linestyle=_FOLD_LINES[place % 4], label=f"fold {fold}") for place, fold in enumerate(folds)),
        Line2D([], [], color="0.6", marker="o", markersize=3.5, linestyle="", markeredgecolor="black",
               markeredgewidth=0.5, label="chosen"),
    ]  # fmt: skip
    legend_columns = 6
    foot = (-(-len(handles) // legend_columns) + 0.8) * LINE * 1.2
    figure, panels = page_wide_panels(len(classes), panel_height=1.1, foot=foot)
    colours = dict(zip(models, series_colours(len(models)), strict=True))
    low, high = np.nanmin(curves["iou"].to_numpy(), initial=1.0), np.nanmax(curves["iou"].to_numpy(), initial=0.0)
    for axes, tissue in zip(panels, classes, strict=True):
        of_class = curves[curves["class_name"] == tissue.name]
        for (model, fold), line in of_class.groupby(["model", "fold"], sort=False):
            style = _FOLD_LINES[folds.index(fold) % len(_FOLD_LINES)]
            axes.plot(line["threshold"], line["iou"], color=colours[model], linestyle=style, linewidth=0.8)
            chosen = line[line["chosen"]]
            axes.plot(chosen["threshold"], chosen["iou"], "o", color=colours[model], markersize=3.5,
                      markeredgecolor="black", markeredgewidth=0.5)  # fmt: skip
        axes.set_title(tissue.name)
        axes.set_xlim(0, 1)
        axes.set_ylim(low - 0.05, high + 0.05)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xticks([0.25, 0.5, 0.75])
        if axes.yaxis.get_tick_params()["labelleft"]:
            axes.set_ylabel("IoU")
        if axes.xaxis.get_tick_params()["labelbottom"]:
            axes.set_xlabel("Threshold")
    figure.legend(handles=handles, loc="lower center", ncols=min(len(handles), legend_columns), borderaxespad=0.3)
    return figure
