"""Curves: IoU against the number of networks (Figure 9), learning curves, and thresholds."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import LINE, PAGE_WIDTH, new_figure, panel_box, series_colours, styled

_PANELS: dict[str, Callable[[str], bool]] = {
    "Model averaging": lambda combiner: combiner in ("Arith", "Geo"),
    "Stacking on scores": lambda combiner: combiner not in ("Arith", "Geo") and not combiner.startswith("T"),
    "Stacking on head inputs": lambda combiner: combiner.startswith("T"),
}
_FOLD_LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
_LABELLING_LINES = {"MAP": "--", "TH": "-"}


@styled
def iou_against_networks(averages: pd.DataFrame, sizes: Mapping[str, int]) -> Figure:
    """Draw the mean IoU of ensembles against their number of networks (Figure 9).

    A panel each for model averaging, stacking on scores and stacking on head inputs; a line for each combiner and
    labelling; the standard deviation over the folds as bars; the best single network as a horizontal line.

    Args:
        averages: experiment (`E12+NAD+TH`, `UMD+TH`), mean and sd over the folds of the mean IoU without background
            (0 … 1).
        sizes: ensemble → number of its networks; experiments of anything else are networks.
    """
    parts = averages["experiment"].str.split("+", expand=True).reindex(columns=range(3))
    frame = averages.assign(ensemble=parts[0], combiner=parts[1], labelling=parts[2])
    is_ensemble = frame["ensemble"].isin(sizes)
    singles, combined = frame[~is_ensemble], frame[is_ensemble]
    best = singles.dropna(subset="mean").sort_values("mean", ascending=False, kind="stable").head(1)
    order = sorted(sizes, key=lambda name: (sizes[name], name))
    combiners = list(dict.fromkeys(combined["combiner"]))
    colours = dict(zip(combiners, series_colours(len(combiners)), strict=True))
    groups = {title: [name for name in combiners if belongs(name)] for title, belongs in _PANELS.items()}
    groups = {title: members for title, members in groups.items() if members}
    left, right, panel_height, heading, foot = 0.5, 1.4, 1.55, 1.8 * LINE, 3.4 * LINE
    figure = new_figure(PAGE_WIDTH, len(groups) * (heading + panel_height) + foot)
    first: Axes | None = None
    for place, (title, members) in enumerate(groups.items()):
        top = place * (heading + panel_height) + heading
        axes = panel_box(figure, left, top, PAGE_WIDTH - left - right, panel_height)
        if first is None:
            first = axes
        else:
            axes.sharey(first)
        for name, mean in zip(best["experiment"], best["mean"], strict=True):
            axes.axhline(100 * mean, color="0.35", linewidth=0.9, label=f"best network,\n{name}")
        _ensemble_lines(axes, combined[combined["combiner"].isin(members)], order, colours)
        axes.set_title(title)
        axes.set_ylabel("Mean IoU without Bg. (%)")
        axes.set_xticks(range(len(order)), [f"{sizes[name]}\n{name}" for name in order])
        axes.set_xlim(-0.5, len(order) - 0.5)
        axes.grid(axis="y", color="0.9", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(labelbottom=place == len(groups) - 1)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0, handlelength=2.6)
    if groups:
        axes.set_xlabel("Networks in the ensemble")
    return figure


def _ensemble_lines(axes: Axes, combined: pd.DataFrame, order: list[str], colours: Mapping[str, str]) -> None:
    lines = combined[["combiner", "labelling"]].drop_duplicates()
    # Bars of different lines stand side by side, not on top of each other.
    spread = min(0.25, 0.025 * len(order)) if len(lines) > 1 else 0.0
    offsets = np.linspace(-spread, spread, len(lines))
    for combiner, labelling, offset in zip(lines["combiner"], lines["labelling"], offsets, strict=True):
        line = combined[(combined["combiner"] == combiner) & (combined["labelling"] == labelling)]
        values = line.set_index("ensemble").reindex(order)
        axes.errorbar(
            np.arange(len(order)) + offset,
            100 * values["mean"],
            yerr=100 * values["sd"],
            color=colours[combiner],
            linestyle=_LABELLING_LINES.get(labelling, "-"),
            marker="o" if labelling == "TH" else "s",
            markersize=2.8,
            linewidth=0.8,
            elinewidth=0.6,
            capsize=1.2,
            capthick=0.6,
            label=f"{combiner}+{labelling}",
        )


def _grid(number: int) -> tuple[int, int]:
    columns = min(number, 4)
    return -(-number // columns), columns


def _panels(number: int, panel_height: float, foot: float) -> tuple[Figure, list[Axes]]:
    """Make a page-wide grid of panels; those to the left and at the foot of their columns have room for labels."""
    rows, columns = _grid(number)
    left, gap, heading = 0.45, 0.1, 1.5 * LINE
    figure = new_figure(PAGE_WIDTH, rows * (heading + panel_height) + 2.4 * LINE + foot)
    width = min((PAGE_WIDTH - left) / columns, 2.6)
    edge = (PAGE_WIDTH - left - columns * width) / 2
    panels: list[Axes] = []
    for place in range(number):
        row, column = divmod(place, columns)
        top = row * (heading + panel_height) + heading
        panels.append(panel_box(figure, edge + left + column * width, top, width - gap, panel_height))
        panels[-1].tick_params(labelleft=column == 0, labelbottom=place + columns >= number)
    return figure, panels


@styled
def learning_curves(histories: pd.DataFrame, measure: str = "loss", best_by: str = "val_accuracy") -> Figure:
    """Draw a measure of training against epochs, a panel for each network and a line for each fold.

    Args:
        histories: the networks' `history.csv`, with the columns topology and fold.
        measure: `loss`, `accuracy` or `patch_iou`; thin for training, thick for validation (column `val_<measure>`). The
            IoU is there for validation alone.
        best_by: the column whose highest value marks the epoch that was kept; the first wins a tie.
    """
    topologies = list(dict.fromkeys(histories["topology"]))
    folds = sorted(histories["fold"].unique())
    figure, panels = _panels(len(topologies), panel_height=1.1, foot=2.2 * LINE)
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
            kept = history.loc[history[best_by].idxmax()]
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


@styled
def threshold_curves(curves: pd.DataFrame, classes: LabelTable) -> Figure:
    """Draw the IoU on the validation slices against the threshold, a panel for each class (Section 4.3.2).

    A colour for each model, a line style for each fold, a dot at the threshold chosen.

    Args:
        curves: model, fold, class_name, threshold, iou (0 … 1) and chosen (whether this threshold is the one).
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
    figure, panels = _panels(len(classes), panel_height=1.1, foot=foot)
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


@styled
def reliability_diagrams(points: pd.DataFrame, errors: pd.DataFrame, classes: LabelTable) -> Figure:
    """Draw, for each class, the share of pixels that are of it against the score they were given.

    A model whose scores can be taken for probabilities lies on the diagonal; below it, it is too sure. Dots grow with the
    number of pixels; folds are taken together. The expected calibration error in per cent stands in each panel, in the
    colour of its model.

    Args:
        points: the rows of `metrics/calibration.csv` of the models that are drawn.
        errors: the same models' rows of `metrics/calibration_errors.csv`.
        classes: the label table.
    """
    models = list(dict.fromkeys(points["model"]))
    colours = dict(zip(models, series_colours(len(models)), strict=True))
    figure, panels = _panels(len(classes), panel_height=1.4, foot=2.2 * LINE)
    summed = points.groupby(["model", "class_name", "score_from"], sort=False)[["pixels", "true_pixels", "score_sum"]]
    bins = summed.sum().reset_index()
    mean_errors = errors.groupby(["model", "class_name"], sort=False)["expected_calibration_error"].mean()
    for axes, tissue in zip(panels, classes, strict=True):
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.6, zorder=0)
        for place, model in enumerate(models):
            line = bins[(bins["model"] == model) & (bins["class_name"] == tissue.name) & (bins["pixels"] > 0)]
            x, y = line["score_sum"] / line["pixels"], line["true_pixels"] / line["pixels"]
            sizes = 1 + 9 * np.log10(line["pixels"]) / max(1.0, np.log10(bins["pixels"].max()))
            axes.plot(x, y, color=colours[model], linewidth=0.8)
            axes.scatter(x, y, s=sizes, color=colours[model], zorder=3, clip_on=False)
            error = mean_errors.get((model, tissue.name), np.nan)
            axes.text(0.03, 0.97 - 0.11 * place, f"{100 * error:.2f}", color=colours[model], transform=axes.transAxes,
                      ha="left", va="top", fontsize=6.5)  # fmt: skip
        axes.set_title(tissue.name)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xticks([0.25, 0.5, 0.75])
        axes.set_yticks([0, 0.5, 1])
        if axes.yaxis.get_tick_params()["labelleft"]:
            axes.set_ylabel("Share of the class")
        if axes.xaxis.get_tick_params()["labelbottom"]:
            axes.set_xlabel("Score")
    handles = [Line2D([], [], color=colour, label=name, marker="o", markersize=3) for name, colour in colours.items()]
    handles.append(Line2D([], [], color="0.7", linewidth=0.6, label="scores are probabilities"))
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), borderaxespad=0.3)
    return figure
