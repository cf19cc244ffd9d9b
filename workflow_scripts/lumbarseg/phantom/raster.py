"""A plane through the anatomy, on which signals are painted with soft edges, or labels with sharp ones.

Painting is linear in the tissues' signals. With a unit vector for each tissue in place of its signal, the same painting gives the
weights of the tissues, from which an image of any contrast is one product of matrices (`section.weight_section`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from lumbarseg.phantom.spine import LATTICE, TABLE_HALF, TABLE_STEP, Array, Spine

Signal = float | Array
Value = Array | np.floating[Any] | float
Point = tuple[float, ...]


@dataclass(frozen=True)
class PlaneRaster:
    """Part of a plane; windows of it are rasters too and share its memory.

    Attributes:
        r, a, s: anatomical coordinates of the pixels in mm, float32, (rows, columns).
        origin, row_step, column_step: position of pixel (0, 0), and step to the next row and column, mm.
        pixel: pixel size, mm.
        signals: signal of each tissue, a number or a float32 vector of shape (tissues, 1, 1); None for a label image.
        pixels: float32 signal (rows, columns), weights (tissues, rows, columns), or uint8 class ids (rows, columns).
        table: index of each pixel into the spine's curves.
    """

    spine: Spine
    r: Array
    a: Array
    s: Array
    origin: Point
    row_step: Point
    column_step: Point
    pixel: float
    signals: Mapping[str, Signal] | None
    pixels: NDArray[Any]
    table: NDArray[np.intp]

    def curve(self, name: str) -> Array:
        """Return one of the spine's `Curves` at every pixel."""
        return np.take(getattr(self.spine.curves, name), self.table)

    @property
    def is_label_image(self) -> bool:
        """Whether labels are painted."""
        return self.signals is None

    @property
    def p(self) -> Array:
        """Distance to the right of the middle of the spine, mm."""
        return self.r - self.curve("right")

    def signal(self, tissue: str) -> Any:
        """Return the signal of a tissue (0 in a label image)."""
        return 0.0 if self.signals is None else self.signals[tissue]

    def window(self, centre: Sequence[float], half: Sequence[float]) -> "PlaneRaster | None":
        """Return the part of the plane that may intersect a box, or None.

        Args:
            centre: r, a, s of the box, mm.
            half: half of its sides, mm.
        """
        # Plain floats, because this is called about ten thousand times per series.
        r, a, s = (float(c) - o for c, o in zip(centre, self.origin, strict=True))
        x, y, z = (float(side) for side in half)
        row, column = self.row_step, self.column_step
        normal = (
            row[1] * column[2] - row[2] * column[1],
            row[2] * column[0] - row[0] * column[2],
            row[0] * column[1] - row[1] * column[0],
        )
        reach = abs(normal[0]) * x + abs(normal[1]) * y + abs(normal[2]) * z
        if abs(r * normal[0] + a * normal[1] + s * normal[2]) > reach:
            return None
        parts = []
        for step, size in ((row, self.r.shape[0]), (column, self.r.shape[1])):
            length = step[0] ** 2 + step[1] ** 2 + step[2] ** 2
            middle = (r * step[0] + a * step[1] + s * step[2]) / length
            reach = (abs(step[0]) * x + abs(step[1]) * y + abs(step[2]) * z) / length + 1.0
            low, high = max(0, int(middle - reach)), min(size, int(middle + reach) + 2)
            if low >= high:
                return None
            parts.append(slice(low, high))
        return self._part(*parts)

    def _part(self, rows: slice, columns: slice) -> "PlaneRaster":
        return PlaneRaster(
            self.spine,
            self.r[rows, columns],
            self.a[rows, columns],
            self.s[rows, columns],
            tuple(
                o + rows.start * down + columns.start * along
                for o, down, along in zip(self.origin, self.row_step, self.column_step, strict=True)
            ),
            self.row_step,
            self.column_step,
            self.pixel,
            self.signals,
            self.pixels[..., rows, columns],
            self.table[rows, columns],
        )

    def bands(self, count: int) -> "list[PlaneRaster]":
        """Split the plane into `count` bands of rows, small enough for the processor's cache."""
        edges = np.linspace(0, self.r.shape[0], count + 1).astype(int)
        whole = slice(0, self.r.shape[1])
        return [self._part(slice(top, end), whole) for top, end in pairwise(edges) if end > top]

    def between(self, low: float, high: float) -> "PlaneRaster | None":
        """Return the columns that may have an anterior coordinate between two values (mm), or None."""
        start, down, along = self.origin[1], self.row_step[1] * (self.r.shape[0] - 1), self.column_step[1]
        ends = sorted(((edge - start - shift) / along) for edge in (low, high) for shift in (0.0, down))
        first, last = max(0, int(ends[0])), min(self.r.shape[1], int(ends[-1]) + 2)
        return self._part(slice(0, self.r.shape[0]), slice(first, last)) if first < last else None

    def extremes(self, name: str) -> tuple[float, float]:
        """Return minimum and maximum of one of the spine's `Curves` at the pixels."""
        values = getattr(self.spine.curves, name)[int(self.table.min()) : int(self.table.max()) + 1]
        return float(values.min()), float(values.max())

    def noise(self, scale: float | tuple[float, float, float], shift: int = 0) -> Array:
        """Return the texture of the anatomy at the pixels: mean 0, variance 1.

        Args:
            scale: mm per lattice cell along r, a, s (features are about ten cells wide).
            shift: selects another texture.
        """
        cells = (scale,) * 3 if isinstance(scale, float) else scale
        # Rows run along s and columns along a, so slowly varying texture is sampled at every n-th of them.
        strides = [max(1, int(2.4 * cell / self.pixel)) for cell in (cells[2], cells[1])]
        if strides == [1, 1]:
            return self._lattice_at(self.r, self.a, self.s, cells, shift, fine=True)
        grid = [np.arange(0, size + stride, stride) for size, stride in zip(self.r.shape, strides, strict=True)]
        rows, columns = (axis.astype(np.float32) for axis in grid)
        points = [
            np.float32(self.origin[axis])
            + rows[:, None] * np.float32(self.row_step[axis])
            + columns[None, :] * np.float32(self.column_step[axis])
            for axis in range(3)
        ]
        texture = self._lattice_at(points[0], points[1], points[2], cells, shift, fine=False)
        for axis, stride in enumerate(strides):
            if stride > 1:
                texture = _stretch(texture, axis, stride, self.r.shape[axis])
            else:
                texture = texture[tuple(slice(0, n) if k == axis else slice(None) for k, n in enumerate(self.r.shape))]
        return texture

    def _lattice_at(
        self, r: Array, a: Array, s: Array, cells: tuple[float, float, float], shift: int, fine: bool
    ) -> Array:
        """Sample the lattice: nearest cell if cells are finer than pixels, otherwise linear interpolation."""
        lattice = self.spine.lattice
        scaled = [
            # the large offset keeps the numbers positive, for which truncation is rounding down
            values * np.float32(1.0 / cell) + np.float32(8192 + 37 * shift * (axis + 1))
            for axis, (values, cell) in enumerate(zip((r, a, s), cells, strict=True))
        ]
        if not fine:
            wrapped = np.stack([np.mod(values, LATTICE) for values in scaled])
            return np.asarray(map_coordinates(lattice, wrapped, order=1, mode="grid-wrap", prefilter=False))
        i, j, k = (values.astype(np.int32) & (LATTICE - 1) for values in scaled)
        return np.take(lattice.ravel(), (i * LATTICE + j) * LATTICE + k)

    def grain(self, tissue: str, fine: float, coarse: float = 0.0) -> Value:
        """Return the signal of a tissue with texture of about 4 mm (`fine`) and 20 mm (`coarse`), relative to the signal."""
        if self.signals is None:
            return 0.0
        factor = 1.0 + fine * self.noise(0.6)
        if coarse:
            factor += coarse * self.noise(3.2, 5)
        return np.asarray(self.signals[tissue] * factor, dtype=np.float32)

    def paint(self, distance: Array, value: Value, label: int | None) -> None:
        """Fill the pixels where `distance` is negative.

        Args:
            distance: signed distance to the boundary in mm, negative inside.
            value: signal inside.
            label: class id inside; None keeps the labels.
        """
        if self.signals is None:
            if label is not None:
                self.pixels[distance < 0] = label
            return
        width = np.float32(1.0 / self.pixel)
        cover = distance * -width
        cover += np.float32(0.5)
        np.clip(cover, 0.0, 1.0, out=cover)
        self.pixels[...] += cover * (value - self.pixels)

    def paint_mixture(self, distance: Array, part: Array, values: tuple[Value, Value], labels: tuple[int, int]) -> None:
        """Fill with two tissues, `part` (0 … 1) of the second and the rest of the first; the label is that of the larger."""
        if self.signals is None:
            inside = distance < 0
            self.pixels[inside] = np.where(part[inside] > 0.5, labels[1], labels[0])
        else:
            self.paint(distance, values[0] + part * (values[1] - values[0]), None)


def _stretch(values: Array, axis: int, stride: int, size: int) -> Array:
    """Interpolate linearly along an axis, from every `stride`-th of `size` positions to all of them."""
    places = np.arange(size, dtype=np.float32) / np.float32(stride)
    low = places.astype(np.intp)
    part = (places - low).astype(np.float32)
    part = part[:, None] if axis == 0 else part[None, :]
    start = np.take(values, low, axis)
    return np.asarray(start + part * (np.take(values, low + 1, axis) - start), dtype=np.float32)


def make_raster(
    spine: Spine, affine: NDArray[np.float64], shape: tuple[int, int], signals: Mapping[str, Signal] | None
) -> PlaneRaster:
    """Make an empty plane.

    Args:
        spine: the anatomy.
        affine: 3×3; its columns are the steps to the next row and column, and the position of pixel (0, 0) (r, a, s).
        shape: rows, columns.
        signals: signal of each tissue; None for a label image.
    """
    row_step, column_step, origin = affine.T
    rows, columns = (np.arange(size, dtype=np.float32)[:, None] for size in shape)
    r, a, s = (
        np.float32(origin[axis]) + rows * np.float32(row_step[axis]) + columns.T * np.float32(column_step[axis])
        for axis in range(3)
    )
    entries = len(spine.curves.rear)
    table = ((s + np.float32(TABLE_HALF)) * np.float32(1.0 / TABLE_STEP)).astype(np.intp)
    np.clip(table, 0, entries - 1, out=table)
    leading = () if signals is None else np.shape(next(iter(signals.values())))[:1]
    pixels = np.zeros((*leading, *shape), np.uint8 if signals is None else np.float32)
    start, down, along = (tuple(float(x) for x in point) for point in (origin, row_step, column_step))
    size = float(np.linalg.norm(row_step))
    return PlaneRaster(spine, r, a, s, start, down, along, size, signals, pixels, table)
