"""Tiling: cutting slices into regularly spaced, overlapping square patches, and stitching them together again."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


def window_starts(length: int, side: int, stride: int) -> list[int]:
    """Return the first pixels of the patches along one side of a slice (Section 3.1.3, "shifting approximately S pixels").

    The number of patches is the smallest with steps of at most `stride`, n = ⌈(L − D) / S⌉ + 1. They are evenly spaced,
    start_i = round(i · (L − D) / (n − 1)), so that the first and the last touch the borders.

    Args:
        length: pixels along the side of the slice, L.
        side: pixels along the side of a patch, D.
        stride: largest step, S, pixels.

    Returns:
        The starts in increasing order; `[0]` if the slice is not longer than a patch.
    """
    count = max(1, math.ceil((length - side) / stride) + 1)
    if count == 1:
        return [0]
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


@dataclass(frozen=True)
class Tiling:
    """The division of a slice into patches.

    A slice shorter than a patch is padded at its end (inferior, posterior), so that positions are always pixels of the
    slice itself.

    Attributes:
        rows: rows of the slice.
        columns: columns of the slice.
        side: rows and columns of a patch, pixels.
        stride: largest step between patches, pixels.
    """

    rows: int
    columns: int
    side: int
    stride: int

    @cached_property
    def positions(self) -> list[tuple[int, int]]:
        """First row and first column of every patch, in row-major order."""
        return [
            (row, column)
            for row in window_starts(self.rows, self.side, self.stride)
            for column in window_starts(self.columns, self.side, self.stride)
        ]

    @property
    def count(self) -> int:
        """The number of patches."""
        return len(self.positions)

    @cached_property
    def columns_of_patches(self) -> tuple[int, ...]:
        """First columns of the patches in one row of patches."""
        return tuple(window_starts(self.columns, self.side, self.stride))

    @cached_property
    def row_blocks(self) -> list[tuple[int, int]]:
        """For each row of patches, its first pixel row and the end of the pixel rows that no later patch covers."""
        return list(itertools.pairwise([*window_starts(self.rows, self.side, self.stride), self.rows]))

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of the slice, padded to at least one patch."""
        return max(self.rows, self.side), max(self.columns, self.side)

    @cached_property
    def coverage(self) -> NDArray[np.uint16]:
        """Number of patches that cover each pixel, (rows, columns), at least 1."""
        covered = []
        for length, padded in zip((self.rows, self.columns), self.padded, strict=True):
            times = np.zeros(padded, dtype=np.uint16)
            for start in window_starts(length, self.side, self.stride):
                times[start : start + self.side] += 1
            covered.append(times[:length])
        return np.outer(covered[0], covered[1])


def extract(image: NDArray[Any], tiling: Tiling, padding: float = 0) -> NDArray[Any]:
    """Cut a slice into patches.

    Args:
        image: (rows, columns) or (rows, columns, channels), any dtype.
        tiling: the tiling of a slice of this size.
        padding: value with which a slice shorter than a patch is padded: 0 for a normalised image, where it is the mean,
            or the background's class id for a mask.

    Returns:
        (count, side, side) or (count, side, side, channels), the same dtype.
    """
    if image.shape[:2] != (tiling.rows, tiling.columns):
        raise ValueError(f"a slice of {image.shape[:2]} pixels does not fit {tiling}")
    missing = [(0, padded - size) for padded, size in zip(tiling.padded, image.shape[:2], strict=True)]
    if any(after for _, after in missing):
        image = np.pad(image, missing + [(0, 0)] * (image.ndim - 2), constant_values=padding)
    side = tiling.side
    return np.stack([image[row : row + side, column : column + side] for row, column in tiling.positions])


class CutPatches:
    """The patches of all slices of a volume, cut where they are read, so that they take neither memory nor disk space."""

    def __init__(self, slices: NDArray[Any], tiling: Tiling) -> None:
        """Take a volume.

        Args:
            slices: (slices, rows, columns, channels), any dtype; a slice shorter than a patch is padded with 0.
            tiling: the tiling of its slices.
        """
        self._slices, self._tiling = slices, tiling

    def __len__(self) -> int:
        return len(self._slices) * self._tiling.count

    def __getitem__(self, index: slice) -> NDArray[Any]:
        """Return patches, (count, side, side, channels): slice by slice, those of a slice in the order of `Tiling.positions`."""
        side, numbers = self._tiling.side, range(len(self))[index]
        found = np.zeros((len(numbers), side, side, self._slices.shape[-1]), self._slices.dtype)
        for patch, number in zip(found, numbers, strict=True):
            place, position = divmod(number, self._tiling.count)
            row, column = self._tiling.positions[position]
            part = self._slices[place, row : row + side, column : column + side]
            patch[: part.shape[0], : part.shape[1]] = part
        return found


def stitch(patches: Iterable[NDArray[np.floating]], tiling: Tiling) -> NDArray[np.floating]:
    """Stitch the patches of a slice together, with the arithmetic mean where they overlap (Section 4.3).

    Args:
        patches: (count, side, side, channels) scores, or an iterable of patches in the order of `tiling.positions`.
        tiling: the tiling with which they were cut.

    Returns:
        (rows, columns, channels), in the dtype of the patches, at least float32.

    Raises:
        ValueError: the number of patches is not that of the tiling.
    """
    total: NDArray[np.floating] | None = None
    for (row, column), patch in zip(tiling.positions, patches, strict=True):
        if total is None:
            total = np.zeros((*tiling.padded, *patch.shape[2:]), dtype=np.result_type(patch.dtype, np.float32))
        total[row : row + tiling.side, column : column + tiling.side] += patch
    assert total is not None  # every tiling has at least one patch
    total = total[: tiling.rows, : tiling.columns]
    total /= tiling.coverage.reshape(tiling.rows, tiling.columns, *[1] * (total.ndim - 2))
    return total
