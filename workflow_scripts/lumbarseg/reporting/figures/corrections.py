"""Corrections of drafts: how much is left to correct, as more sessions are drawn."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.corrections import mean_corrections
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import LINE, PAGE_WIDTH, new_figure, panel_box, series_colours, styled
from lumbarseg.reporting.registry import figure

_LEGEND_COLUMNS = 6


@figure(
    "corrections",
    section="Drafts",
    title="Corrections of drafts",
    caption="IoU of draft and corrected mask against the number of sessions drawn, in the order of the sheet: the mean without background, "
    "and each class. It grows where less is left to correct. Classes that a draft leaves out have no value there.",
    needs={"corrections": "metrics/corrections.csv"},
    of_study=False,
)
def figure_corrections(corrections: Path, labels: LabelTable) -> Figure:
    """Draw the corrections."""
    return corrections_figure(read_csv(corrections), labels)


@styled
def corrections_figure(corrections: pd.DataFrame, labels: LabelTable) -> Figure:
    """Draw the IoU of draft and correction against the number of sessions drawn.

    Args:
        corrections: the table `metrics/corrections.csv`.
        labels: the label table.
    """
    means = mean_corrections(corrections, labels.background)
    colours = series_colours(len(labels.foreground_ids))
    handles = [Line2D([], [], color="black", linewidth=1.6, marker="o", markersize=3, label="mean")]
    foot = (-(-(len(colours) + 1) // _LEGEND_COLUMNS) + 3) * LINE * 1.2
    figure = new_figure(PAGE_WIDTH, 0.1 + 2.6 + foot)
    axes = panel_box(figure, 0.5, 0.1, PAGE_WIDTH - 0.6, 2.6)
    for colour, tissue in zip(colours, labels.foreground_ids, strict=True):
        of_class = corrections[corrections["class_id"] == tissue].sort_values("drawn")
        axes.plot(of_class["drawn"], 100 * of_class["iou"], color=colour, linewidth=0.7, marker=".", markersize=2.5)
        handles.append(
            Line2D([], [], color=colour, linewidth=0.7, marker=".", markersize=2.5, label=labels[tissue].name)
        )
    axes.plot(means["drawn"], 100 * means["mean_iou"], color="black", linewidth=1.6, marker="o", markersize=3)
    axes.set_xlim(0.5, max(means["drawn"].max(), 1) + 0.5)
    axes.set_ylim(0, 103)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="0.92", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel("Sessions drawn")
    axes.set_ylabel("IoU of draft and correction (%)")
    figure.legend(handles=handles, loc="lower center", ncols=_LEGEND_COLUMNS, borderaxespad=0.3)
    return figure
