"""Figure 8: IoU of the test slices by class and experiment, with significant differences."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.metrics import SLICE, read_rows
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import CHARACTER, LINE, PAGE_WIDTH, new_figure, panel_box, series_colours, styled
from lumbarseg.reporting.registry import figure


@figure(
    "fig_8",
    section="Comparison",
    caption="IoU of each class over the test slices. A star marks a significant difference from the reference (Wilcoxon "
    "signed-rank test, unadjusted, slices as units, as in the paper). Slices of one patient are not independent: check the "
    "adjusted p-values and those with patients as units in the tables before relying on a star.",
    needs={"per_slice": "metrics/iou_per_slice.csv", "wilcoxon": "metrics/wilcoxon.csv"},
    when="compared",
)
def figure_8(
    per_slice: Path, wilcoxon: Path, compared: Sequence[str], labels: LabelTable, significance: float
) -> Figure:
    """Draw Figure 8."""
    rows = read_rows([per_slice], ["experiment", *SLICE, "class_id", "iou"])
    return box_plots(rows, read_csv(wilcoxon), compared, labels, significance)


@styled
def box_plots(
    per_slice: pd.DataFrame,
    wilcoxon: pd.DataFrame,
    experiments: Sequence[str],
    classes: LabelTable,
    significance: float,
) -> Figure:
    """Draw box plots of IoU_c over the test slices, a panel for each class (Figure 8).

    A slice's IoU is averaged over the folds, as in the test. Boxes span the quartiles with a line at the median, whiskers
    reach the last slice within 1.5 times that range, and a thin line marks the reference's median. A star marks an experiment
    that differs from the reference (p below `significance`, unadjusted as in the paper; Wilcoxon over slices).

    Args:
        per_slice: the table `metrics/iou_per_slice.csv`.
        wilcoxon: the table `metrics/wilcoxon.csv`.
        experiments: one box each, in this order; those without results leave a gap.
        classes: the label table.
        significance: the p-value below which a difference is marked.
    """
    shown = per_slice[per_slice["experiment"].isin(experiments)]
    means = shown.groupby(["class_id", "experiment", *SLICE], observed=True)["iou"].mean().dropna()
    tested = wilcoxon[(wilcoxon["unit"] == "slice") & (wilcoxon["p_value"] < significance)]
    starred = set(zip(tested["class_id"], tested["experiment"], strict=True))
    references = list(wilcoxon["reference"].unique())
    columns = min(len(classes), 4 if len(experiments) <= 9 else 3)
    rows = -(-len(classes) // columns)
    left, heading, panel_height = 0.47, 2.2 * LINE, 1.15
    names_height = max(len(name) for name in experiments) * CHARACTER + 0.1
    # A panel is no wider than its boxes need, or two experiments would be stretched over half a page.
    width = min((PAGE_WIDTH - 0.05) / columns, left + 0.5 * len(experiments) + 0.5)
    page_left = (PAGE_WIDTH - width * columns) / 2
    note = 1.8 * LINE
    figure = new_figure(PAGE_WIDTH, rows * (heading + panel_height) + names_height + note)
    colours = series_colours(len(experiments))
    for tissue in classes:
        row, column = divmod(tissue.id, columns)
        axes = panel_box(
            figure,
            page_left + column * width + left,
            row * (heading + panel_height) + heading,
            width - left - 0.08,
            panel_height,
        )
        values = [
            means.loc[(tissue.id, name)].to_numpy() if (tissue.id, name) in means.index else [] for name in experiments
        ]
        drawn = axes.boxplot(
            values,
            positions=range(len(experiments)),
            widths=0.65,
            patch_artist=True,
            boxprops={"linewidth": 0.6},
            whiskerprops={"linewidth": 0.6},
            capprops={"linewidth": 0.6},
            medianprops={"color": "black", "linewidth": 1.0},
            flierprops={"marker": ".", "markersize": 1.5, "markerfacecolor": "0.4", "markeredgecolor": "none"},
        )
        for box, colour in zip(drawn["boxes"], colours, strict=True):
            box.set_facecolor(colour)
        for reference in references:
            if (tissue.id, reference) in means.index:
                axes.axhline(means.loc[(tissue.id, reference)].median(), color="0.5", linewidth=0.5, zorder=0)
        axes.set_title(tissue.name, pad=0.75 * LINE * 72)
        found = [value for part in values for value in part]
        low, high = (min(found), max(found)) if found else (0.0, 1.0)
        room = max(high - low, 0.05) * 0.06
        axes.set_ylim(low - room, min(high + room, 1.01))
        axes.set_xlim(-0.6, len(experiments) - 0.4)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        for place, name in enumerate(experiments):
            if (tissue.id, name) in starred:
                axes.annotate(
                    "*",
                    (place, 1.0),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    va="center",
                    fontsize=9,
                    xytext=(0, 1),
                    textcoords="offset points",
                    annotation_clip=False,
                )
        is_lowest = tissue.id + columns >= len(classes)
        axes.set_xticks(range(len(experiments)), experiments if is_lowest else [""] * len(experiments), rotation=90)
        if column == 0:
            axes.set_ylabel("IoU")
    if references:
        figure.text(
            0.5,
            0.4 * LINE / figure.get_figheight(),
            f"*  p < {significance:g} against {', '.join(references)}, Wilcoxon signed-rank test over the test slices",
            ha="center",
            va="bottom",
        )
    return figure
