"""The page of a segmented session: images, labels, uncertainty, measures and flags."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lumbarseg.deployment.morphometry import CANAL
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import (
    LINE,
    PAGE_WIDTH,
    add_class_legend,
    coloured,
    grey_levels,
    legend_rows,
    new_figure,
    panel_box,
    show,
    styled,
)
from lumbarseg.user_files import printable

_PAGE_HEIGHT = 260 / 25.4
_MARGIN, _GAP = 0.1, 0.06
_COLUMNS = 4
_ROW = LINE * 1.15  # height of a table row
_LEGEND_COLUMNS = 6
# Rows of the tables; a poor network may draw hundreds of components, and images need room.
_MOST_DISCS, _MOST_CLASSES = 12, 24
# Upper end of the uncertainty scale, entropy in nats; two equally likely classes have 0.69.
_MOST_ENTROPY = 1.5
# Measures of a disc on the page, with their decimals.
_OF_A_DISC = {
    "disc_height": 1,
    "disc_height_anterior": 1,
    "disc_height_middle": 1,
    "disc_height_posterior": 1,
    "disc_signal_ratio": 2,
}


@styled
def session_page(
    *,
    t2w: NDArray[Any],
    labels: NDArray[np.uint8],
    entropy: NDArray[np.floating],
    spacing: tuple[float, float, float],
    measures: pd.DataFrame,
    flags: Sequence[str],
    title: str,
    subtitle: str,
    table: LabelTable,
) -> Figure:
    """Draw the page.

    Args:
        t2w: (slices, rows, columns) in sagittal view.
        labels: the same shape, class ids.
        entropy: the same shape, nats.
        spacing: mm between slices, rows, columns.
        measures: from `morphometry.measure`.
        flags: sentences on what should be checked.
        title: name of the session, or of a folder.
        subtitle: name of the experiment.
        table: the label table.
    """
    # Names of classes and of folders are text, whatever signs they have.
    matplotlib.rcParams["text.parse_math"] = False
    figure = new_figure(PAGE_WIDTH, _PAGE_HEIGHT)
    top = _MARGIN
    _write(figure, _MARGIN, top, printable(title), size=11, weight="bold")
    _write(figure, _MARGIN, top + 0.24, subtitle)
    _write(figure, PAGE_WIDTH - _MARGIN, top, "Not a medical device", ha="right", weight="bold", color="#882255")
    top = _draw_flags(figure, top + 0.46, flags)

    chosen = shown_slices(len(labels))
    side = (PAGE_WIDTH - 2 * _MARGIN - (_COLUMNS - 1) * _GAP) / _COLUMNS
    named = _named_classes(measures, table)
    volumes, discs = _volumes(measures, table, named), _discs(measures)
    # Images get the height that tables, closing lines and legend leave.
    below = (max(len(volumes), len(discs) + 6) + 1) * _ROW + (legend_rows(named, _LEGEND_COLUMNS) + 1) * LINE * 1.25
    natural = side * labels.shape[1] * spacing[1] / (labels.shape[2] * spacing[2])
    height = min(natural, (_PAGE_HEIGHT - top - below - LINE) / 3 - _GAP)
    for row, name in enumerate(("T2w", "labels", "uncertainty")):
        for column, plane in enumerate(chosen):
            axes = panel_box(figure, _MARGIN + column * (side + _GAP), top, side, height)
            image = {
                "T2w": lambda plane: grey_levels(t2w[plane]),
                "labels": lambda plane: coloured(t2w[plane], labels[plane], table, opacity=0.55),
                "uncertainty": lambda plane: np.clip(entropy[plane] / _MOST_ENTROPY, 0, 1),
            }[name](plane)
            show(axes, image, spacing[1:])
            if row == 0:
                _note(axes, 0.03, 0.97, f"slice {plane}", va="top")
                _note(axes, 0.03, 0.5, "A")
                _note(axes, 0.97, 0.5, "P", ha="right")
        top += height + _GAP
    _write(
        figure,
        _MARGIN,
        top,
        f"Bottom row: uncertainty, the entropy of the scores from 0 (black) to {_MOST_ENTROPY:g} nat (white).",
    )
    top += LINE
    top += 0.1
    width = (PAGE_WIDTH - 2 * _MARGIN - 0.3) / 2
    _text_table(figure, _MARGIN, top, width, volumes)
    _text_table(figure, _MARGIN + width + 0.3, top, width, discs)
    _write(
        figure,
        _MARGIN + width + 0.3,
        top + (len(discs) + 1) * _ROW,
        _closing(measures, len(table.foreground_ids) - len(named)),
    )
    add_class_legend(figure, table, named, _LEGEND_COLUMNS)
    return figure


def shown_slices(slices: int) -> list[int]:
    """Return the numbers of four slices, evenly spaced over the stack without its edges."""
    return sorted({int((place + 0.5) / _COLUMNS * slices) for place in range(_COLUMNS)})


def _draw_flags(figure: Figure, top: float, flags: Sequence[str]) -> float:
    heading = "Within the training range." if not flags else "Please check:"
    _write(figure, _MARGIN, top, heading, weight="bold", color="#117733" if not flags else "#EE6677")
    lines = [line for flag in flags for line in textwrap.wrap(flag, 135, subsequent_indent="   ")]
    shown = lines if len(lines) <= 8 else [*lines[:7], f"… and {len(lines) - 7} more lines in the session's JSON file"]
    for number, line in enumerate(shown):
        _write(figure, _MARGIN + 0.1, top + (number + 1.2) * LINE, line)
    return top + (len(shown) + 2) * LINE


def _named_classes(measures: pd.DataFrame, table: LabelTable) -> list[int]:
    """Return the ids of the classes that the page names: all, or those with the largest volumes."""
    ids = table.foreground_ids
    if len(ids) <= _MOST_CLASSES:
        return ids
    whole = measures[(measures["measure"] == "volume") & measures["slice"].isna()].set_index("class_id")["value"]
    return sorted(sorted(ids, key=lambda c: -whole[c])[:_MOST_CLASSES])


def _volumes(measures: pd.DataFrame, table: LabelTable, ids: Sequence[int]) -> list[list[str]]:
    whole = measures[(measures["measure"] == "volume") & measures["slice"].isna()].set_index("class_name")["value"]
    areas = measures[measures["measure"] == "area"].groupby("class_name")["value"].max()
    names = [table[c].name for c in ids]
    rows = [[name, f"{whole[name]:.1f}", f"{areas[name]:.0f}"] for name in names]
    return [["", "volume, ml", "largest area, mm²"], *rows]


def _discs(measures: pd.DataFrame) -> list[list[str]]:
    own = measures[measures["disc"].notna() & measures["slice"].isna()]
    found = {(disc, what): value for disc, what, value in zip(own["disc"], own["measure"], own["value"], strict=True)}
    rows = []
    for disc in sorted(sorted(own["disc"].unique())[:_MOST_DISCS], reverse=True):
        values = [(found.get((disc, what)), decimals) for what, decimals in _OF_A_DISC.items()]
        rows.append([str(disc), *("" if value is None else f"{value:.{decimals}f}" for value, decimals in values)])
    return [["disc", "height, mm", "anterior", "middle", "posterior", "signal"], *rows]


def _closing(measures: pd.DataFrame, unnamed: int) -> str:
    """Word what belongs under the tables.

    Args:
        measures: from `morphometry.measure`.
        unnamed: number of classes that the page does not name.
    """
    discs = measures["disc"].nunique()
    left_out = [f"{discs - _MOST_DISCS} more discs"] if discs > _MOST_DISCS else []
    left_out += [f"{unnamed} more classes"] if unnamed else []
    lines = [f"{' and '.join(left_out)} in the table of measures; check the labels"] if left_out else []
    fat = measures[(measures["measure"] == "fat_fraction") & measures["slice"].isna()]["value"]
    if len(fat):
        lines.append(f"Fat within muscle: {100 * fat.iloc[0]:.1f} %")
    canal = measures[(measures["measure"] == "area") & (measures["class_name"] == CANAL)].set_index("slice")["value"]
    if len(canal) and canal.max() > 0:
        lines.append(f"Largest canal area: {canal.max():.0f} mm² in slice {canal.idxmax()}")
    lines += ["Discs are numbered from the lowest one in the image;", "signal: T2w signal relative to the canal."]
    lines.append("Slices are numbered from the patient's right.")
    return "\n".join(lines)


def _text_table(figure: Figure, left: float, top: float, width: float, rows: Sequence[Sequence[str]]) -> None:
    columns = len(rows[0])
    first = width * 0.1
    rights = [left + first + (width - first) * (place + 1) / (columns - 1) for place in range(columns - 1)]
    for number, row in enumerate(rows):
        height = top + number * _ROW
        weight = "bold" if number == 0 else "normal"
        _write(figure, left, height, row[0], weight=weight)
        for right, text in zip(rights, row[1:], strict=True):
            _write(figure, right, height, text, ha="right", weight=weight)


def _write(figure: Figure, left: float, top: float, text: str, size: float = 7, va: str = "top", **style: Any) -> None:
    figure.text(left / figure.get_figwidth(), 1 - top / figure.get_figheight(), text, va=va, fontsize=size, **style)


def _note(axes: Axes, across: float, up: float, text: str, ha: str = "left", va: str = "center") -> None:
    axes.text(across, up, text, transform=axes.transAxes, color="white", fontsize=6, ha=ha, va=va)
