"""Slices at the pixel size that networks were trained with, and their scores back at the slices' own."""

from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lumbarseg.inference.sliding_window import RowBlock


def resample_slices(
    slices: NDArray[np.float32], spacing: tuple[float, float], pixel_size: float
) -> NDArray[np.float32]:
    """Resample slices to square pixels by linear interpolation, after a Gaussian where pixels grow.

    The outer edges of the first and last pixels stay where they are, up to half a pixel that rounding the size costs.

    Args:
        slices: (slices, rows, columns, channels).
        spacing: mm between rows and between columns.
        pixel_size: mm.

    Returns:
        (slices, rows', columns', channels) float32.
    """
    shape = tuple(
        max(1, round(size * step / pixel_size)) for size, step in zip(slices.shape[1:3], spacing, strict=True)
    )
    blur = [0.42 * max(pixel_size / step - 1.0, 0.0) for step in spacing]
    smooth = ndimage.gaussian_filter(slices, (0.0, *blur, 0.0), truncate=3.0) if any(blur) else slices
    return np.stack([_zoomed(one, shape) for one in smooth])


def resample_scores(blocks: Iterable[RowBlock], shape: tuple[int, int], models: Sequence[str]) -> Iterator[RowBlock]:
    """Put the row blocks of a slice together and resample its scores, linearly.

    Args:
        blocks: of slices one after the other, each from top to bottom.
        shape: rows and columns of the slices to return.
        models: whose scores are needed.

    Yields:
        One row block for each slice, of all its rows.
    """
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in models}
    number = 0
    for block in blocks:
        if block.number != number:
            yield _whole(number, rows, shape)
            number, rows = block.number, {name: [] for name in models}
        for name in models:
            rows[name].append(block.scores(name))
    yield _whole(number, rows, shape)


def _whole(number: int, rows: dict[str, list[NDArray[np.float32]]], shape: tuple[int, int]) -> RowBlock:
    scores = {name: _zoomed(np.concatenate(parts), shape) for name, parts in rows.items()}
    return RowBlock(number, slice(0, shape[0]), scores, np.ones(shape, np.uint16))


def _zoomed(image: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Resample (rows, columns, n) to other rows and columns, the outer edges of the pixels kept."""
    if image.shape[:2] == tuple(shape):
        return image
    resized = keras.ops.image.resize(
        image, tuple(shape), interpolation="bilinear", antialias=False, data_format="channels_last"
    )
    return np.asarray(keras.ops.convert_to_numpy(resized), np.float32)
