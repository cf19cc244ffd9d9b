"""Augmentation of training patches: rotation, zoom, shift and flip as one affine warp a sample (Section 5.1)."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def draw_warps(
    generator: np.random.Generator, number: int, side: int, settings: Mapping[str, Any]
) -> NDArray[np.float32]:
    """Draw one warp a sample.

    A warp maps each pixel of the output to the place in the input it is read from: it turns about the patch's centre
    by a uniform angle, divides distances by a uniform zoom (above 1 magnifies), shifts by a uniform share of the side,
    and mirrors columns with a probability.

    Args:
        generator: where the random numbers come from.
        number: how many warps.
        side: rows and columns of a patch, in pixels.
        settings: `training.augmentation` of the config: rotation_deg, zoom (two factors), shift (share), flip.

    Returns:
        (number, 8) float32, the first eight entries of each 3 × 3 matrix on (column, row, 1).
    """
    angle = np.radians(generator.uniform(-settings["rotation_deg"], settings["rotation_deg"], number))
    least, greatest = settings["zoom"]
    zoom = generator.uniform(least, greatest, number)
    shift = generator.uniform(-settings["shift"], settings["shift"], (number, 2)) * side
    mirror = np.where(generator.random(number) < settings["flip"], -1.0, 1.0)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    linear = np.stack([cosine * mirror, -sine, sine * mirror, cosine], axis=1).reshape(number, 2, 2)
    centre = np.full(2, (side - 1) / 2)
    offset = centre + shift - linear @ centre
    warps = np.zeros((number, 8))
    warps[:, [0, 1, 3, 4]] = linear.reshape(number, 4)
    warps[:, [2, 5]] = offset
    return warps.astype(np.float32)


def warp(images: Any, labels: Any, warps: Any) -> tuple[Any, Any]:
    """Resample images (bilinear) and labels (nearest) once, on the device that trains.

    Outside the patch the nearest edge is repeated.

    Args:
        images: (batch, side, side, channels) float32.
        labels: (batch, side, side) whole numbers.
        warps: (batch, 8) float32 from `draw_warps`.

    Returns:
        Warped images (float32) and labels (int32), shapes unchanged. The values of the labels are among those given.
    """
    warped = keras.ops.image.affine_transform(images, warps, interpolation="bilinear", fill_mode="nearest")
    planes = keras.ops.cast(labels, "float32")[..., None]
    classes = keras.ops.image.affine_transform(planes, warps, interpolation="nearest", fill_mode="nearest")
    return warped, keras.ops.cast(classes[..., 0], "int32")
