"""A network's blocks and the tensors between them, arranged as in the paper's Figures 4 and 5."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from lumbarseg.reporting.figures.style import LINE, PAGE_WIDTH, new_figure, panel_box, styled
from lumbarseg.reporting.registry import figure

# Paul Tol's pale colours, on which black text is legible; distinguishable by colour-blind readers.
_COLOURS = {
    "encoder": ("#BBCCEE", "encoder"),
    "bottleneck": ("#99DDFF", "bottleneck"),
    "decoder": ("#CCDDAA", "decoder"),
    "attention": ("#EEEEBB", "attention gate"),
    "skip_supervision": ("#EEEEBB", "deep supervision of the skip connections"),
    "output_supervision": ("#FFCCCC", "deep supervision of the output"),
    "multi_kernel": ("#E8D5F0", "multi-kernel input"),
    "classifier": ("#DDDDDD", "classification block"),
}
_SMALL = {"pool", "raise", "join"}
# Columns from left to right with their widths in inches; a network has those of its blocks.
_COLUMNS = {"patch": 0.5, "kernels": 0.62, "join": 0.52, "encoder": 1.02, "skip": 0.9, "decoder": 1.04, "output": 0.86,
            "classifier": 0.56}  # fmt: skip
_LETTERS = {"encoder": "C", "bottleneck": "C", "attention": "S", "skip_supervision": "S", "decoder": "T", "output_supervision": "Z"}  # fmt: skip
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_HEIGHT, _SMALL_HEIGHT, _KERNEL_HEIGHT, _PITCH = 0.44, 0.17, 0.3, 1.0


@figure(
    "network_{topology}",
    section="Networks",
    title="{topology}",
    caption="{topology} as it was built: every box is a block with its output tensor (side² × channels), every arrow a tensor. C, S, T "
    "and Z are the letters of the paper's Figures 4 and 5.",
    needs={"blocks": "metrics/network_blocks.csv"},
    for_each="networks",
)
def figure_network(topology: str, blocks: Path) -> Figure:
    """Draw a network."""
    rows = pd.read_csv(blocks, keep_default_na=False, dtype={"topology": str})
    return network_diagram(rows[rows["topology"] == topology])


@dataclass
class _Box:
    """Where a block is drawn: its centre, width and height in inches from the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height / 2


@styled
def network_diagram(blocks: pd.DataFrame) -> Figure:
    """Draw one network: one row for each resolution, encoder to the left, decoder to the right, an arrow for every tensor.

    Boxes show a block's operations and its output tensor, side² × channels. C, S, T and Z are the paper's letters.

    Args:
        blocks: the rows of one topology of `metrics/network_blocks.csv`, in the order of the computation: block, kind,
            operation, rows, columns, channels, sources.
    """
    rows = {row["block"]: row for row in blocks.to_dict("records")}
    boxes = _places(rows)
    foot = 2.2 * LINE
    height = max(box.bottom for box in boxes.values()) + 0.3
    figure = new_figure(PAGE_WIDTH, height + foot)
    axes = panel_box(figure, 0, 0, PAGE_WIDTH, height)
    axes.set_axis_off()
    axes.set_xlim(0, PAGE_WIDTH)
    axes.set_ylim(height, 0)
    for name, row in rows.items():
        for source in str(row["sources"]).split():
            _arrow(axes, _path(rows[source], boxes[source], row, boxes[name]))
    for name, row in rows.items():
        _draw(axes, row, boxes[name], is_fcn="fc6" in rows)
    present = {row["kind"] for row in rows.values()}
    handles = [Patch(facecolor=colour, edgecolor="0.4", linewidth=0.4, label=label) for kind, (colour, label) in _COLOURS.items() if kind in present]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=4, borderaxespad=0.3, handlelength=1, handleheight=1)
    return figure


def _column(row: dict) -> str:
    kind, name = row["kind"], row["block"]
    if name == "fc7":
        return "skip"
    if kind in ("encoder", "bottleneck", "pool"):
        return "encoder"
    if kind in ("attention", "skip_supervision"):
        return "skip"
    if kind in ("decoder", "raise") or (kind == "join" and name.startswith("decoder")):
        return "decoder"
    return {"multi_kernel": "kernels", "output_supervision": "output"}.get(kind, kind)


def _places(rows: dict[str, dict]) -> dict[str, _Box]:
    columns = [name for name in _COLUMNS if name in {_column(row) for row in rows.values()}]
    gap = min(0.45, (PAGE_WIDTH - 0.1 - sum(_COLUMNS[name] for name in columns)) / (len(columns) - 1))
    left = (PAGE_WIDTH - sum(_COLUMNS[name] for name in columns) - gap * (len(columns) - 1)) / 2
    centres = {}
    for name in columns:
        centres[name] = left + _COLUMNS[name] / 2
        left += _COLUMNS[name] + gap
    side = max(row["rows"] for row in rows.values())
    kernels = [name for name, row in rows.items() if row["kind"] == "multi_kernel"]
    first = 0.12 + max(_HEIGHT, len(kernels) * (_KERNEL_HEIGHT + 0.06)) / 2
    boxes = {}
    for name, row in rows.items():
        column = _column(row)
        y = first + _PITCH * np.log2(side / row["rows"])
        height = _SMALL_HEIGHT if row["kind"] in _SMALL else _HEIGHT
        if row["kind"] == "multi_kernel":
            height = _KERNEL_HEIGHT
            y += (kernels.index(name) - (len(kernels) - 1) / 2) * (_KERNEL_HEIGHT + 0.06)
        elif name == "input_concatenate":
            height = _KERNEL_HEIGHT
        # Between the rows: pooling above the block it leads to, raising and joining below theirs.
        elif row["kind"] == "pool":
            y -= _PITCH / 2
        elif row["kind"] == "raise":
            y += _HEIGHT / 2 + 0.41
        elif row["kind"] == "join" and column == "decoder":
            y += _HEIGHT / 2 + 0.165
        boxes[name] = _Box(centres[column], y, _COLUMNS[column], height)
    return boxes


def _path(source: dict, start: _Box, target: dict, end: _Box) -> list[tuple[float, float]]:
    """The corners of the arrow between two blocks."""
    if abs(start.x - end.x) < 1e-6:
        if start.y < end.y:
            return [(start.x, start.bottom), (end.x, end.top)]
        return [(start.x, start.top), (end.x, end.bottom)]
    if source["kind"] == "raise":  # a gate: to the left, then up into the attention block
        return [(start.left, start.y), (end.x, start.y), (end.x, end.bottom)]
    if target["kind"] == "raise":  # out of the bottleneck, below all other blocks of its row
        lane = start.bottom + 0.14
        return [(start.x, start.bottom), (start.x, lane), (end.x, lane), (end.x, end.bottom)]
    if abs(start.y - end.y) < 1e-6:
        return [(start.right, start.y), (end.left, end.y)]
    turn = end.left - 0.08
    return [(start.right, start.y), (turn, start.y), (turn, end.y), (end.left, end.y)]


def _arrow(axes: Axes, corners: list[tuple[float, float]]) -> None:
    line = {"color": "0.35", "linewidth": 0.8}
    xs, ys = zip(*corners, strict=True)
    axes.plot(xs, ys, color="0.35", linewidth=0.8, solid_joinstyle="round", zorder=1)
    axes.annotate(
        "", corners[-1], corners[-2],
        arrowprops={"arrowstyle": "-|>,head_width=0.12,head_length=0.22", "shrinkA": 0, "shrinkB": 0, **line}, zorder=1,
    )  # fmt: skip


def _draw(axes: Axes, row: dict, box: _Box, is_fcn: bool) -> None:
    kind = row["kind"]
    colour = _COLOURS.get(kind, ("#FFFFFF", ""))[0]
    shape = FancyBboxPatch(
        (box.left, box.top), box.width, box.height, boxstyle="round,pad=0,rounding_size=0.04", facecolor=colour,
        edgecolor="0.4", linewidth=0.6, zorder=2,
    )  # fmt: skip
    axes.add_patch(shape)
    axes.text(box.x, box.y, _text(row, is_fcn), ha="center", va="center", fontsize=5.6, linespacing=1.15, zorder=3)


def _text(row: dict, is_fcn: bool) -> str:
    kind, operations = row["kind"], str(row["operation"]).split("; ")
    tensor = (
        f"{row['rows']}² × {row['channels']}"
        if row["rows"] == row["columns"]
        else f"{row['rows']} × {row['columns']} × {row['channels']}"
    )
    if kind == "patch":
        return f"patch\n{tensor}"
    if kind in ("pool", "raise"):
        return operations[0]
    if kind == "join":
        return f"concatenate\n{tensor}" if row["block"].startswith("input") else f"concatenate, {tensor}"
    short = [
        word.replace("batch normalisation", "batch norm.").replace("up-sampling ×2", "up ×2") for word in operations
    ]
    if kind == "attention":
        short = ["attention gate", short[0]]
    elif kind == "multi_kernel":
        return f"{short[0]}\n{tensor}"
    elif kind in ("encoder", "bottleneck", "decoder") and "concatenate" in short:
        short.remove("concatenate")  # within the block, as the paper's Figure 4 shows it
    elif kind in ("skip_supervision", "output_supervision") or row["block"].startswith("fuse"):
        short = [short[0], ", ".join(word.replace("transposed conv", "transposed") for word in short[1:])]
    number = re.search(r"\d+$", row["block"])
    letter = ""
    if kind in _LETTERS and not is_fcn:
        letter = f"{_LETTERS[kind]}{(number[0] if number else '5').translate(_SUBSCRIPTS)}: "
    elif is_fcn and number:
        letter = f"{row['block']}: " if row["block"].startswith("fc") else ""
    return "\n".join(filter(None, [letter + short[0], ", ".join(short[1:]), tensor]))
