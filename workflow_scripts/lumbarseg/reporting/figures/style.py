"""What all figures share: sizes, fonts, colours, image panels, saving.

Figures are drawn without pyplot, so nothing global changes and no display is needed.
"""

import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lumbarseg.atomic_io import atomic_write
from lumbarseg.labels import LabelTable

PAGE_WIDTH = 180 / 25.4
"""Width of a figure over two columns of a journal page, in inches."""

LINE = 0.14
"""Height of a line of text with its leading, in inches."""

CHARACTER = 0.062
"""Width of a character of 7 points, in inches, at most."""

RESOLUTION = 300
"""Dots per inch of the PNG and of images within the SVG."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "axes.grid": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "svg.fonttype": "path",
    "svg.hashsalt": "lumbarseg",
}

_PALETTE = (
    "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#332288", "#DDCC77", "#117733", "#882255",
    "#44AA99", "#999933", "#BBBBBB",
)  # fmt: skip
"""Paul Tol's schemes `bright` and, from the seventh colour on, `muted`: distinguishable by colour-blind readers."""

Parameters = ParamSpec("Parameters")


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Make a function draw in the style of this project, whatever matplotlib is set to elsewhere."""

    @wraps(draw)
    def draw_in_style(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            return draw(*args, **kwargs)

    return draw_in_style


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of this size in inches."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, svg_path: str | os.PathLike[str], png_path: str | os.PathLike[str]) -> None:
    """Write a figure as SVG and as PNG (300 dots per inch). The same figure gives the same bytes.

    Args:
        figure: what a drawing function returned.
        svg_path: text is drawn as paths, so it looks the same everywhere.
        png_path: for slides and web pages.
    """
    with matplotlib.rc_context({"svg.hashsalt": _STYLE["svg.hashsalt"], "svg.fonttype": _STYLE["svg.fonttype"]}):
        with atomic_write(svg_path) as temporary:
            figure.savefig(temporary, format="svg", dpi=RESOLUTION, metadata={"Date": None})
        with atomic_write(png_path) as temporary:
            figure.savefig(temporary, format="png", dpi=RESOLUTION, metadata={"Software": None})


def save_picture(figure: Figure, png_path: str | os.PathLike[str]) -> None:
    """Write a figure for the screen as PNG (120 dots per inch). The same figure gives the same bytes."""
    with atomic_write(png_path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})


def series_colours(number: int) -> list[str]:
    """Return colours for experiments, networks or combiners; they repeat after 13."""
    return [_PALETTE[place % len(_PALETTE)] for place in range(number)]


def grey_levels(image: NDArray[Any]) -> NDArray[np.float32]:
    """Scale an image to 0 … 1 between its 1st and 99.5th percentile, so that one bright vessel does not darken it.

    Args:
        image: (H, W), any intensities.

    Returns:
        (H, W) float32; all 0 for an image of one intensity.
    """
    low, high = np.percentile(image, [1, 99.5])
    if high <= low:
        low, high = float(image.min()), float(image.max())
    scaled = (image - low) / (high - low) if high > low else np.zeros(image.shape)
    return np.clip(scaled, 0, 1).astype(np.float32)


def coloured(
    image: NDArray[Any], labels: NDArray[np.uint8], classes: LabelTable, opacity: float
) -> NDArray[np.float32]:
    """Overlay an image with the class colours; the background stays clear.

    Args:
        image: (H, W), any intensities.
        labels: (H, W), class ids.
        classes: the label table.
        opacity: of the colours, 0 … 1.

    Returns:
        (H, W, 3) float32 RGB, 0 … 1.
    """
    grey = np.repeat(grey_levels(image)[..., np.newaxis], 3, axis=-1)
    colours = (classes.colours() / 255).astype(np.float32)[labels]
    strength = np.where(labels == classes.background, 0, opacity).astype(np.float32)[..., np.newaxis]
    return grey * (1 - strength) + colours * strength


def checkerboard(first: NDArray[np.floating], second: NDArray[np.floating], fields: int = 8) -> NDArray[np.float32]:
    """Show two images in alternating fields, so that discontinuous edges can be seen.

    Args:
        first: (H, W), any intensities; has the upper left field.
        second: (H, W), any intensities.
        fields: along each side.

    Returns:
        (H, W) float32, 0 … 1.
    """
    rows, columns = (np.arange(length) * fields // length for length in first.shape)
    odd = (rows[:, np.newaxis] + columns) % 2 == 1
    return np.where(odd, grey_levels(second), grey_levels(first))


def show(axes: Axes, image: NDArray[Any], spacing: tuple[float, float], title: str = "") -> None:
    """Show an image without axes, in its true proportions.

    Args:
        axes: where.
        image: (H, W) 0 … 1, shown in grey, or (H, W, 3) RGB.
        spacing: millimetres between rows and between columns.
        title: above the image.
    """
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=spacing[0] / spacing[1], interpolation="antialiased")
    axes.set_axis_off()
    if title:
        axes.set_title(title)


def add_class_legend(figure: Figure, classes: LabelTable, ids: Sequence[int], columns: int) -> None:
    """Put the colours and names of classes at the foot of a figure."""
    figure.legend(
        handles=[
            Patch(facecolor=classes[c].colour, edgecolor="0.3", linewidth=0.4, label=classes[c].name) for c in ids
        ],
        loc="lower center",
        ncols=columns,
        handlelength=1,
        handleheight=1,
        columnspacing=1.2,
        borderaxespad=0.3,
    )


def legend_rows(ids: Sequence[int], columns: int) -> int:
    """The number of rows `add_class_legend` needs."""
    return -(-len(ids) // columns)


def panel_box(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the figure's upper left corner."""
    full_width, full_height = figure.get_size_inches()
    bottom = full_height - top - height
    return figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))


def page_wide_panels(number: int, panel_height: float, foot: float) -> tuple[Figure, list[Axes]]:
    """Make a figure with a page-wide grid of panels, at most four in a row.

    Panels on the left and at the foot of their columns have room for tick labels; the others show none.

    Args:
        number: of panels.
        panel_height: in inches.
        foot: room below the panels, in inches.

    Returns:
        The figure, and its panels row by row.
    """
    columns = min(number, 4)
    rows = -(-number // columns)
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
