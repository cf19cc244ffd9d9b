"""The hyper-parameter search: validation results of each combination."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.figures.style import LINE, PAGE_WIDTH, new_figure, panel_box, series_colours, styled
from lumbarseg.reporting.registry import figure

_NAMES = {"val_accuracy": "Validation accuracy (%)", "val_patch_iou": "Validation mean IoU (%)"}
_MARKERS = {"relu": "o", "prelu": "^"}


@figure(
    "search",
    section="Search",
    title="Hyper-parameter search",
    caption="Validation result of each combination of optimiser, learning rate and activation, by topology.",
    needs={"combinations": "search/combinations.csv"},
    of_study=False,
)
def figure_search(combinations: Path, monitor: str) -> Figure:
    """Draw the search."""
    return search_results(read_csv(combinations), monitor)


@styled
def search_results(ranked: pd.DataFrame, criterion: str = "val_accuracy") -> Figure:
    """Draw each topology's combinations: one panel for each topology, optimiser and learning rate across, activation as marker.

    Args:
        ranked: topology, optimiser, learning_rate, activation, the criterion (0 … 1), diverged, best, present; as
            `search.combinations` gives them.
        criterion: the column that decides.
    """
    topologies = list(dict.fromkeys(ranked["topology"]))
    places = sorted(set(zip(ranked["optimiser"], ranked["learning_rate"], strict=True)), key=lambda p: (p[0], -p[1]))
    activations = [name for name in _MARKERS if name in set(ranked["activation"])]
    colours = dict(zip(_MARKERS, series_colours(len(_MARKERS)), strict=True))
    columns = min(len(topologies), max(1, min(4, 26 // max(len(places), 1))))
    rows = -(-len(topologies) // columns)
    left, gap, heading, foot, height = 0.5, 0.12, 1.5 * LINE, 5.2 * LINE, 1.15
    figure = new_figure(PAGE_WIDTH, rows * (heading + height) + foot + 2.2 * LINE)
    width = min((PAGE_WIDTH - left) / columns, 3.4)
    values = 100 * ranked.loc[~ranked["diverged"], criterion]
    low, high = (values.min(), values.max()) if values.notna().any() else (0.0, 1.0)
    room = 0.12 * (high - low) or 1.0
    for number, topology in enumerate(topologies):
        row, column = divmod(number, columns)
        axes = panel_box(figure, left + column * width, row * (heading + height) + heading, width - gap, height)
        axes.set_title(topology)
        axes.set_ylim(low - 2 * room, high + room)
        axes.set_xlim(-0.6, len(places) - 0.4)
        axes.grid(axis="y", color="0.92", linewidth=0.5)
        axes.set_axisbelow(True)
        for combination in ranked[ranked["topology"] == topology].itertuples():
            side = activations.index(combination.activation) - (len(activations) - 1) / 2
            x = places.index((combination.optimiser, combination.learning_rate)) + 0.22 * side
            y = 100 * getattr(combination, criterion)
            if combination.diverged or np.isnan(y):
                axes.plot(x, low - 1.4 * room, "x", color=colours[combination.activation], markersize=4)
                continue
            marker, colour = _MARKERS[combination.activation], colours[combination.activation]
            axes.plot(x, y, marker, color=colour, markersize=4)
            if combination.best:
                axes.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor="black", markeredgewidth=0.9)
            if combination.present:
                axes.plot(x, y, "s", markersize=7, markerfacecolor="none", markeredgecolor="0.4", markeredgewidth=0.7)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelleft=column == 0)
        below = number + columns >= len(topologies)
        axes.set_xticks(range(len(places)), [f"{name} {rate:g}" for name, rate in places] if below else [], rotation=90)
        if column == 0:
            axes.set_ylabel(_NAMES[criterion] if rows == 1 else _NAMES[criterion].replace(" ", "\n", 1))
    ring: Any = {"linestyle": "", "markerfacecolor": "none"}
    handles = [
        Line2D([], [], linestyle="", marker=_MARKERS[name], color=colours[name], markersize=4, label=name)
        for name in activations
    ]
    handles += [
        Line2D([], [], marker="o", markersize=8, markeredgecolor="black", markeredgewidth=0.9, label="best", **ring),
        Line2D([], [], marker="s", markersize=6, markeredgecolor="0.4", markeredgewidth=0.7, label="in the config", **ring),
        Line2D([], [], linestyle="", marker="x", color="0.4", markersize=4, label="diverged"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), borderaxespad=0.3)
    return figure
