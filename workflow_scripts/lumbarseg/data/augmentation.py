"""Augmentation of training patches: rotation, zoom, shift and flip as one affine warp per sample (Section 5.1), and appearance."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lumbarseg.config.model_sections import Augmentation
from lumbarseg.data.randomisation import random_curve, randomise_appearance

CURVE_SHARE = 0.3
"""Share of the changed channels whose contrast is another one, too."""


def draw_warps(generator: np.random.Generator, number: int, side: int, settings: Augmentation) -> NDArray[np.float32]:
    """Draw one random warp per sample.

    A warp maps each output pixel to the input position from which it is read: it rotates about the centre of the patch by
    a uniformly distributed angle, divides distances by a uniform zoom (above 1 magnifies), shifts by a uniform fraction
    of the side, and mirrors columns with a given probability.

    Args:
        generator: source of random numbers.
        number: number of warps.
        side: rows and columns of a patch, in pixels.
        settings: the config's `training.augmentation`.

    Returns:
        (number, 8) float32, the first eight entries of each 3 × 3 matrix on (column, row, 1).
    """
    angle = np.radians(generator.uniform(-settings.rotation_deg, settings.rotation_deg, number))
    least, greatest = settings.zoom
    zoom = generator.uniform(least, greatest, number)
    shift = generator.uniform(-settings.shift, settings.shift, (number, 2)) * side
    mirror = np.where(generator.random(number) < settings.flip, -1.0, 1.0)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    linear = np.stack([cosine * mirror, -sine, sine * mirror, cosine], axis=1).reshape(number, 2, 2)
    centre = np.full(2, (side - 1) / 2)
    offset = centre + shift - linear @ centre
    warps = np.zeros((number, 8))
    warps[:, [0, 1, 3, 4]] = linear.reshape(number, 4)
    warps[:, [2, 5]] = offset
    return warps.astype(np.float32)


def randomise_channels(
    patch: NDArray[np.float32], probability: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Change how each channel of a patch looks with a given probability, not what is where; see `data.randomisation`.

    Args:
        patch: (side, side, channels) float32.
        probability: of a change, for each channel, 0 … 1.
        generator: source of random numbers.

    Returns:
        (side, side, channels) float32; a changed channel keeps its mean and standard deviation.
    """
    changed = patch.copy()
    for channel in range(patch.shape[-1]):
        image = np.ascontiguousarray(patch[..., channel])
        if generator.random() < probability:
            other = random_curve(image, generator) if generator.random() < CURVE_SHARE else image
            changed[..., channel] = randomise_appearance(other, generator) * image.std() + image.mean()
    return changed


def warp(images: Any, labels: Any, warps: Any) -> tuple[Any, Any]:
    """Resample images (bilinear) and labels (nearest neighbour) once, on the training device.

    Outside the patch the edge pixels are repeated.

    Args:
        images: (batch, side, side, channels) float32.
        labels: (batch, side, side) class ids.
        warps: (batch, 8) float32 from `draw_warps`.

    Returns:
        Warped images (float32) and labels (int32) of unchanged shape. Labels keep their set of values.
    """
    warped = keras.ops.image.affine_transform(images, warps, interpolation="bilinear", fill_mode="nearest")
    planes = keras.ops.cast(labels, "float32")[..., None]
    classes = keras.ops.image.affine_transform(planes, warps, interpolation="nearest", fill_mode="nearest")
    return warped, keras.ops.cast(classes[..., 0], "int32")
