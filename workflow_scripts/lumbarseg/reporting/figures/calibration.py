"""Reliability diagrams: how often a score is right."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import LINE, page_wide_panels, series_colours, styled
from lumbarseg.reporting.registry import figure


@figure(
    "calibration",
    section="Uncertainty and calibration",
    title="Reliability",
    caption="Share of the pixels with a given score for a class that belong to it, on the test slices; below the diagonal a model "
    "is overconfident. Numbers are expected calibration errors in per cent; metrics/calibration_errors.csv has the Brier scores.",
    needs={"points": "metrics/calibration.csv", "errors": "metrics/calibration_errors.csv"},
    when="shown_models",
)
def figure_calibration(points: Path, errors: Path, shown_models: Sequence[str], labels: LabelTable) -> Figure:
    """Draw the reliability of the models shown."""
    frames = []
    for path in (points, errors):
        frame = read_csv(path)
        frames.append(frame[frame["model"].isin(shown_models)])
    return reliability_diagrams(frames[0], frames[1], labels)


@styled
def reliability_diagrams(points: pd.DataFrame, errors: pd.DataFrame, classes: LabelTable) -> Figure:
    """Draw, for each class, the share of pixels that belong to it against the score they were given.

    A model whose scores are probabilities lies on the diagonal; below it, it is overconfident. Dots grow with the number of
    pixels; folds are pooled. Each panel shows the expected calibration errors in per cent, in the colours of the models.

    Args:
        points: the rows of `metrics/calibration.csv` of the models that are drawn.
        errors: the same models' rows of `metrics/calibration_errors.csv`.
        classes: the label table.
    """
    models = list(dict.fromkeys(points["model"]))
    colours = dict(zip(models, series_colours(len(models)), strict=True))
    figure, panels = page_wide_panels(len(classes), panel_height=1.4, foot=2.2 * LINE)
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
                      ha="left", va="top")  # fmt: skip
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
