"""Training samples of phantoms: a slice, placed and deformed at random, as images of a random contrast."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lumbarseg.data.randomisation import random_curve, randomise_appearance, smooth_field, standardised
from lumbarseg.phantom.soft_tissue import CLASSES
from lumbarseg.synthesis.contrast import draw_signals, paint_image
from lumbarseg.synthesis.tissue_slices import read_slice

TEST_STRENGTH = 0.6
"""Strength of the randomisation of samples for validation and tests: as much as scanners differ, less than training's extremes."""


@dataclass(frozen=True)
class SampleShape:
    """What a sample is.

    Attributes:
        contrasts: T2w and T1w, or T2w.
        side: rows and columns.
        pixel_mm: pixel size (mm).
        stored_pixel_mm: pixel size of the stored slices (mm).
    """

    contrasts: tuple[str, ...]
    side: int
    pixel_mm: float
    stored_pixel_mm: float


def draw_sample(
    stem: Path, index: int, shape: SampleShape, strength: float, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Make a sample of a stored slice.

    Args:
        stem: of the phantom, see `tissue_slices.read_slice`.
        index: of its slice.
        shape: of the sample.
        strength: 0 (the phantom as it is) … 1 (fully randomised).
        generator: source of random numbers.

    Returns:
        Images (side, side, contrasts) float32, z-scores, and labels (side, side) uint8, 0 … 11.
    """
    weights, structures = read_slice(stem, index)
    signals = draw_signals(generator, shape.contrasts, 0.3 * strength)
    images, structures = paint_image(weights, structures, signals, shape.stored_pixel_mm, generator)
    places = draw_places(generator, structures.shape, shape, strength)
    # Finer than the sample's pixels would alias; images of scanners are not much sharper than their pixels, so it starts a little early.
    blur = 0.42 * max(shape.pixel_mm / shape.stored_pixel_mm - 0.8, 0.0)
    sampled = np.empty((shape.side, shape.side, len(images)), np.float32)
    for channel, image in enumerate(images):
        if blur:
            image = ndimage.gaussian_filter(image, blur, truncate=2.5)
        at = places if channel == 0 else places + generator.normal(0.0, 0.8, (2, 1, 1))  # what registration leaves
        one = ndimage.map_coordinates(image, at, order=1, mode="constant", prefilter=False)
        if generator.random() < 0.1 * strength:
            one = random_curve(one, generator)
        sampled[..., channel] = randomise_appearance(one, generator, strength) if strength else standardised(one)
    if strength:
        # What lies outside the sample, and zeros that are left out, shift and scale the z-scores of a slice.
        sampled = sampled * np.exp(generator.normal(0.0, 0.2 * strength)) + generator.normal(0.0, 0.3 * strength)
    labels = ndimage.map_coordinates(CLASSES[structures], places, order=0, mode="constant", prefilter=False)
    return sampled.astype(np.float32), labels


def draw_image(
    stem: Path, index: int, contrasts: Sequence[str], pixel_mm: float, strength: float, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Make an image of a stored slice where it lies, for tests.

    Args:
        stem: as for `draw_sample`.
        index: as for `draw_sample`.
        contrasts: T2w and T1w, or T2w.
        pixel_mm: pixel size of the stored slice (mm).
        strength: as for `draw_sample`.
        generator: as for `draw_sample`.

    Returns:
        Images (rows, columns, contrasts) float32, z-scores, and labels (rows, columns) uint8, 0 … 11.
    """
    weights, structures = read_slice(stem, index)
    signals = draw_signals(generator, contrasts, 0.0)
    images, structures = paint_image(weights, structures, signals, pixel_mm, generator)
    changed = [randomise_appearance(image, generator, strength) for image in images]
    return np.stack(changed, axis=-1).astype(np.float32), CLASSES[structures]


def draw_places(
    generator: np.random.Generator, stored: Sequence[int], shape: SampleShape, strength: float
) -> NDArray[Any]:
    """Draw where in the stored slice the pixels of a sample lie: rotation, zoom, shear, shift and elastic deformation.

    Returns:
        Rows and columns of the stored slice, (2, side, side) float32.
    """
    step = shape.pixel_mm / shape.stored_pixel_mm
    angle = np.radians(generator.normal(0.0, 4.0 + 8.0 * strength))
    zoom = np.exp(generator.normal(0.0, 0.05 + 0.13 * strength)) * np.exp(generator.normal(0.0, 0.06 * strength, 2))
    shear = generator.normal(0.0, 0.06 * strength)
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag(step / zoom)
    grid = np.stack(np.meshgrid(*[np.arange(shape.side) - (shape.side - 1) / 2] * 2, indexing="ij")).astype(np.float32)
    places = np.tensordot(linear.astype(np.float32), grid, 1)
    if strength:
        amplitude = np.float32(generator.uniform(0.0, 4.0) * strength / shape.stored_pixel_mm)
        knots = int(generator.integers(3, 8))
        places += amplitude * np.stack([smooth_field(generator, grid.shape[1:], knots) for _ in range(2)])
    # The sample lies anywhere in the slice, its centre within the middle of it.
    room = np.maximum(np.array(stored) - shape.side * step, 0.0) / 2 + 0.1 * shape.side * step
    centre = (np.array(stored) - 1) / 2 + generator.uniform(-1.0, 1.0, 2) * room * (0.6, 0.8)
    return places + centre.astype(np.float32)[:, None, None]
