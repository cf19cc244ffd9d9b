"""How stable the ranks of experiments are."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.figures.style import CHARACTER, LINE, PAGE_WIDTH, new_figure, panel_box, series_colours, styled
from lumbarseg.reporting.registry import figure


@figure(
    "ranking",
    section="Comparison",
    title="Ranking",
    caption="The best experiments. Where bars overlap, another set of patients might well have given another order.",
    needs={"ranking": "metrics/ranking.csv"},
)
def figure_ranking(ranking: Path) -> Figure:
    """Draw the ranks of the best experiments."""
    return rank_stability(read_csv(ranking))


@styled
def rank_stability(ranking: pd.DataFrame, most: int = 30) -> Figure:
    """Draw the best experiments with their ranks in resampled cohorts.

    Args:
        ranking: the table `metrics/ranking.csv`.
        most: greatest number of experiments drawn.
    """
    shown = ranking.dropna(subset=["rank", "mean_iou"]).head(most)
    names_width = max([len(name) for name in shown["experiment"]] + [6]) * CHARACTER + 0.12
    row_height, heading, foot, gap = 1.1 * LINE, 1.7 * LINE, 2.6 * LINE, 0.25
    height = max(len(shown), 1) * row_height
    figure = new_figure(PAGE_WIDTH, heading + height + foot)
    width = (PAGE_WIDTH - names_width - 2 * gap) / 2
    places = np.arange(len(shown))
    colour, other = series_colours(2)
    value, rank = (panel_box(figure, names_width + k * (width + gap), heading, width, height) for k in (0, 1))
    value.errorbar(
        100 * shown["mean_iou"], places, xerr=100 * shown["sd"].fillna(0), fmt="o", color=colour, markersize=3, elinewidth=0.8,
    )  # fmt: skip
    low, high = (shown[name].astype(float) for name in ("rank_low", "rank_high"))
    rank.hlines(places, low, high, color=colour, linewidth=2.4, alpha=0.5)
    rank.plot(shown["rank"].astype(float), places, "o", color=colour, markersize=3)
    for column in ("best_fold_rank", "worst_fold_rank"):
        rank.plot(shown[column].astype(float), places, "|", color=other, markersize=5, markeredgewidth=1)
    for axes, title, label in (
        (value, "Mean and deviation over the folds", "Mean IoU without Bg. (%)"),
        (rank, "Rank: 95 % of resamples (bar), folds (|)", "Rank"),
    ):
        _one_row_each(axes, len(shown))
        axes.set_title(title)
        axes.set_xlabel(label)
    value.set_yticks(places, shown["experiment"])
    rank.set_yticks(places, [])
    return figure


def _one_row_each(axes: Axes, rows: int) -> None:
    axes.set_ylim(rows - 0.5, -0.5)
    axes.grid(axis="x", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
