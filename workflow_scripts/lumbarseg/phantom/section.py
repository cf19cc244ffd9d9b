"""Sections through the anatomy, sampled on the pixels of slices."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbarseg.phantom.bone import paint_bones
from lumbarseg.phantom.raster import Array, PlaneRaster, Signal, make_raster
from lumbarseg.phantom.signal import TISSUES
from lumbarseg.phantom.soft_tissue import (
    CLASSES,
    paint_back,
    paint_belly,
    paint_epidural_fat,
    paint_ligament,
    paint_retroperitoneum,
    paint_roots,
    paint_sac,
    paint_vessels,
)
from lumbarseg.phantom.spine import Spine

BAND_ROWS = 96  # rows painted at a time, so that their arrays stay in the processor's cache


def _paint(raster: PlaneRaster) -> None:
    """Paint the anatomy from the outermost to the innermost layers; later tissues cover earlier ones."""
    bands = raster.bands(max(1, raster.r.shape[0] // BAND_ROWS))
    for band in bands:
        paint_belly(band)
        paint_retroperitoneum(band)
        paint_vessels(band)
        paint_back(band)
        paint_epidural_fat(band)
        paint_ligament(band)
    paint_bones(raster)
    for band in bands:
        paint_sac(band)
    paint_roots(raster)


def label_section(spine: Spine, affine: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the class ids of the anatomy at the centre of each pixel.

    Args:
        spine: the anatomy.
        affine: 3×3; its columns are the steps to the next row and column, and the position of pixel (0, 0), in
            anatomical coordinates (r, a, s), mm.
        shape: rows, columns.

    Returns:
        uint8 class ids 0 … 11, `shape`.
    """
    return np.asarray(CLASSES[structure_section(spine, affine, shape)])


def structure_section(spine: Spine, affine: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the structures at the centre of each pixel: classes, with arch and belly apart (`soft_tissue.CLASSES`).

    Arguments as for `label_section`.

    Returns:
        uint8 structures 0 … 13, `shape`.
    """
    raster = make_raster(spine, affine, shape, None)
    _paint(raster)
    return np.asarray(raster.pixels, dtype=np.uint8)


def signal_section(
    spine: Spine,
    affine: NDArray[np.float64],
    shape: tuple[int, int],
    signals: Mapping[str, Signal],
    thickness: NDArray[np.float64],
    planes: int = 2,
) -> Array:
    """Return the noise-free signal of a slice, with partial volume.

    Args:
        spine: the anatomy.
        affine: as for `label_section`, for the central plane of the slice.
        shape: rows, columns.
        signals: signal of each tissue, a number or a float32 vector of shape (tissues, 1, 1).
        thickness: vector through the slice, as long as the slice is thick, mm.
        planes: number of planes within the thickness that are averaged.

    Returns:
        float32 signal, `shape`, or (tissues, *shape).
    """
    total: Any = 0.0
    for plane in range(planes):
        shifted = affine.copy()
        shifted[:, 2] += thickness * ((plane + 0.5) / planes - 0.5)
        raster = make_raster(spine, shifted, shape, signals)
        _paint(raster)
        total = total + raster.pixels
    return np.asarray(total / np.float32(planes), dtype=np.float32)


def weight_section(
    spine: Spine,
    affine: NDArray[np.float64],
    shape: tuple[int, int],
    thickness: NDArray[np.float64],
    planes: int = 2,
) -> Array:
    """Return the weight of each tissue in the pixels of a slice; arguments as for `signal_section`.

    The signal of the slice, for any signals of the tissues, is the sum of signal times weight. Weights are fractions of the
    pixel times the tissue's texture, so their sum is near 1, and 0 in air.

    Returns:
        float32 (tissues in the order of `signal.TISSUES`, *shape).
    """
    units = np.eye(len(TISSUES), dtype=np.float32)[:, :, None, None]
    return signal_section(spine, affine, shape, dict(zip(TISSUES, units, strict=True)), thickness, planes)
