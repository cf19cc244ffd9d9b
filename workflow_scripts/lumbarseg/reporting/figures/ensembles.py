"""Figure 9: IoU against the number of networks in an ensemble."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lumbarseg.config.study import MEANS
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.metrics import mean_iou, over_folds
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import LINE, PAGE_WIDTH, new_figure, panel_box, series_colours, styled
from lumbarseg.reporting.registry import figure

_LABELLING_LINES = {"MAP": "--", "TH": "-"}


@figure(
    "fig_9",
    section="Comparison",
    caption="Mean IoU without background against the number of networks in an ensemble, for each combiner. Lines above the "
    "horizontal one are better than the best single network.",
    needs={"iou": "metrics/iou.csv"},
    when="ensembles",
)
def figure_9(iou: Path, labels: LabelTable, ensemble_sizes: Mapping[str, int]) -> Figure:
    """Draw Figure 9."""
    averages = mean_iou(read_csv(iou), labels.background)
    return iou_against_networks(over_folds(averages, ["experiment"], "without_background"), ensemble_sizes)


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
    groups: dict[str, list[str]] = {
        title: [] for title in ("Model averaging", "Stacking on scores", "Stacking on head inputs")
    }
    for name in combiners:
        groups[_panel_of(name)].append(name)
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


def _panel_of(combiner: str) -> str:
    if combiner in MEANS:
        return "Model averaging"
    return "Stacking on head inputs" if combiner.startswith("T") else "Stacking on scores"


def _ensemble_lines(axes: Axes, combined: pd.DataFrame, order: list[str], colours: Mapping[str, str]) -> None:
    lines = combined[["combiner", "labelling"]].drop_duplicates()
    # Bars of different lines are drawn side by side, not on top of each other.
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
