"""Learning curves: loss, accuracy and IoU by epoch."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.figures.style import LINE, page_wide_panels, series_colours, styled
from lumbarseg.reporting.registry import figure


@figure(
    "learning_loss",
    section="Training",
    title="Loss by epoch",
    caption="Loss on training (thin) and validation patches (thick); the mark is the epoch that was kept.",
    needs={"histories": "metrics/histories.csv"},
)
def figure_loss(histories: Path, monitor: str) -> Figure:
    """Draw the loss of all trainings."""
    return learning_curves(read_csv(histories), "loss", monitor)


@figure(
    "learning_accuracy",
    section="Training",
    title="Accuracy by epoch",
    caption="Share of correctly labelled pixels of training (thin) and validation patches (thick), background included; the mark "
    "is the epoch that was kept.",
    needs={"histories": "metrics/histories.csv"},
)
def figure_accuracy(histories: Path, monitor: str) -> Figure:
    """Draw the accuracy of all trainings."""
    return learning_curves(read_csv(histories), "accuracy", monitor)


@figure(
    "learning_iou",
    section="Training",
    title="IoU by epoch",
    caption="Mean IoU without background over the validation patches; the mark is the epoch that was kept. The networks' "
    "history.csv has the IoU of each class.",
    needs={"histories": "metrics/histories.csv"},
)
def figure_patch_iou(histories: Path, monitor: str) -> Figure:
    """Draw the IoU of the validation patches of all trainings."""
    return learning_curves(read_csv(histories), "patch_iou", monitor)


@styled
def learning_curves(histories: pd.DataFrame, measure: str = "loss", monitor: str = "val_accuracy") -> Figure:
    """Draw a measure against epochs, one panel for each network and one line for each fold.

    Args:
        histories: the networks' `history.csv`, with the columns topology and fold.
        measure: `loss`, `accuracy` or `patch_iou`; thin for training, thick for validation (column `val_<measure>`). IoU exists
            for validation only.
        monitor: the column whose highest value marks the epoch that was kept; the first one of equal values.
    """
    topologies = list(dict.fromkeys(histories["topology"]))
    folds = sorted(histories["fold"].unique())
    figure, panels = page_wide_panels(len(topologies), panel_height=1.1, foot=2.2 * LINE)
    colours = dict(zip(folds, series_colours(len(folds)), strict=True))
    columns = [column for column in (measure, f"val_{measure}") if column in histories]
    low, high = np.nanpercentile(histories[columns].to_numpy(), [0, 99.5])
    room = 0.05 * (high - low) or 0.05
    for axes, topology in zip(panels, topologies, strict=True):
        for fold in folds:
            history = histories[(histories["topology"] == topology) & (histories["fold"] == fold)]
            if history.empty:
                continue
            for column in columns:
                width, opacity = (0.5, 0.7) if column == measure else (1.1, 1.0)
                axes.plot(history["epoch"], history[column], color=colours[fold], linewidth=width, alpha=opacity)
            kept = history.loc[history[monitor].idxmax()]
            axes.plot(kept["epoch"], kept[columns[-1]], "o", color=colours[fold], markersize=3.5, markeredgecolor="black",
                      markeredgewidth=0.5, zorder=3, clip_on=False)  # fmt: skip
        axes.set_title(topology)
        axes.set_ylim(low - room, high + room)
        axes.set_xlim(histories["epoch"].min() - 0.5, histories["epoch"].max() + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if axes.yaxis.get_tick_params()["labelleft"]:
            axes.set_ylabel({"patch_iou": "IoU of patches"}.get(measure, measure.capitalize()))
        if axes.xaxis.get_tick_params()["labelbottom"]:
            axes.set_xlabel("Epoch")
    handles = [Line2D([], [], color=colours[fold], label=f"fold {fold}") for fold in folds]
    handles += [
        *([Line2D([], [], color="0.3", linewidth=0.5, label="training")] if measure in columns else []),
        Line2D([], [], color="0.3", linewidth=1.1, label="validation"),
        Line2D([], [], color="0.6", marker="o", markersize=3.5, markeredgecolor="black", markeredgewidth=0.5,
               linestyle="", label="epoch kept"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), borderaxespad=0.3)
    return figure
