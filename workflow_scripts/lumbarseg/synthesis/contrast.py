"""Images of any contrast from the weights of tissues: random sequences, random tissues, chemical shift and findings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbarseg.data.randomisation import smooth_field
from lumbarseg.phantom.signal import TISSUES, spin_echo
from lumbarseg.phantom.soft_tissue import (
    ARCH,
    BACKGROUND,
    BELLY,
    CAVITY,
    EPIDURAL_FAT,
    NERVE_ROOT,
    SACRUM,
    VERTEBRA,
    VESSEL,
)

Array = NDArray[np.floating[Any]]

NAMES = tuple(TISSUES)
FATTY = np.array([name in ("fat", "marrow fat") for name in NAMES])
ECHOES = {"T2w": ((2000.0, 8000.0), (60.0, 150.0)), "T1w": ((300.0, 900.0), (5.0, 22.0))}
"""Ranges of repetition and echo time (ms) by contrast: those of Table 2, and wider."""


def draw_signals(generator: np.random.Generator, contrasts: Sequence[str], any_contrast: float) -> Array:
    """Draw the signal of every tissue in each contrast.

    Either a spin echo of times within `ECHOES`, of tissues whose T1 and T2 vary by a quarter and density by an eighth, or, with the
    probability `any_contrast`, a brightness for each tissue that follows from nothing.

    Args:
        generator: source of random numbers.
        contrasts: T2w and T1w, or T2w.
        any_contrast: 0 … 1.

    Returns:
        float32 (contrasts, tissues), 0 … about 1.
    """
    if generator.random() < any_contrast:
        return generator.uniform(0.03, 1.0, (len(contrasts), len(NAMES))).astype(np.float32)
    factors = np.exp(generator.normal(0.0, (0.25, 0.25, 0.12), (len(NAMES), 3)))
    # Fat is one tissue; marrow's fat is as bright.
    factors[NAMES.index("marrow fat")] = factors[NAMES.index("fat")]
    tissues = [
        replace(
            TISSUES[name], t1=TISSUES[name].t1 * t1, t2=TISSUES[name].t2 * t2, density=TISSUES[name].density * density
        )
        for name, (t1, t2, density) in zip(NAMES, factors, strict=True)
    ]
    signals = np.empty((len(contrasts), len(NAMES)), np.float32)
    for row, contrast in zip(signals, contrasts, strict=True):
        repetition, echo = (generator.uniform(*limits) for limits in ECHOES[contrast])
        row[:] = [spin_echo(tissue, repetition, echo) for tissue in tissues]
        row /= row.max()
    return signals


def paint_image(
    weights: Array, structures: NDArray[np.uint8], signals: Array, pixel_mm: float, generator: np.random.Generator
) -> tuple[Array, NDArray[np.uint8]]:
    """Make the images of a slice, with what differs between people and scanners besides contrast.

    Fat is displaced against water (chemical shift); tissues have random textures; blood, cerebrospinal fluid and marrow have
    random flow voids and spots; the belly has random organs; some slices have a cyst or the void of a metal implant, which are
    background.

    Args:
        weights: (tissues, rows, columns) float32.
        structures: (rows, columns) uint8, see `soft_tissue.CLASSES`.
        signals: (contrasts, tissues) float32.
        pixel_mm: pixel size (mm).
        generator: source of random numbers.

    Returns:
        The images, (contrasts, rows, columns) float32, 0 … about 1, and the structures, with the findings as background.
    """
    contrasts, (rows, columns) = len(signals), structures.shape
    flat = weights.reshape(len(weights), -1)
    texture = generator.normal(0.0, 0.07, (2, 1, len(NAMES))).astype(np.float32)
    mixes = np.concatenate([signals * ~FATTY, signals * FATTY, signals * texture[0], signals * texture[1]])
    water, fat, coarse, fine = (mixes @ flat).reshape(4, contrasts, rows, columns)
    shift = int(generator.integers(-2, 3))
    image = water + np.roll(fat, shift, axis=int(generator.integers(1, 3)))
    image += coarse * smooth_field(generator, (rows, columns), 24) + fine * smooth_field(generator, (rows, columns), 90)

    def factor(structure: int, knots: int, depth: float, threshold: float) -> Array:
        spots = np.clip(smooth_field(generator, (rows, columns), knots) - np.float32(threshold), 0.0, 1.0)
        return np.where(structures == structure, 1.0 + np.float32(depth) * spots, 1.0).astype(np.float32)

    if generator.random() < 0.5:  # fluid that moves loses signal
        image *= factor(CAVITY, int(generator.integers(12, 50)), generator.uniform(-0.9, -0.2), 0.6)
    if generator.random() < 0.3:  # islands of fatty marrow, haemangiomas
        image *= factor(VERTEBRA, int(generator.integers(20, 60)), generator.uniform(-0.5, 0.9), 1.0)
    if generator.random() < 0.35:  # slow flow
        image = np.where(structures == VESSEL, generator.uniform(0.1, 0.9, (contrasts, 1, 1)), image)
    _add_organs(image, structures == BELLY, pixel_mm, generator)
    image = np.asarray(image, dtype=np.float32)
    if generator.random() < 0.04:
        structures = _add_void(image, structures, pixel_mm, generator)
    if generator.random() < 0.04:
        structures = _add_cyst(image, structures, pixel_mm, generator)
    return image, structures


def _add_void(
    image: Array, structures: NDArray[np.uint8], pixel_mm: float, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Put the void of a metal implant, with its bright rim, at a random place of the bones, in place; return the structures left."""
    place = _place_in(np.isin(structures, (VERTEBRA, ARCH)), generator)
    if place is None:
        return structures
    distance = _ellipse(
        structures.shape, place, generator.uniform(5.0, 18.0, 2) / pixel_mm, generator.uniform(0, np.pi)
    )
    rim = (distance >= 1.0) & (distance < 1.25)
    image[:, rim] *= generator.uniform(1.0, 2.0)
    image[:, distance < 1.0] = generator.uniform(0.0, 0.05)
    return np.where(distance < 1.0, BACKGROUND, structures).astype(np.uint8)


def _add_cyst(
    image: Array, structures: NDArray[np.uint8], pixel_mm: float, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Put a cyst as bright as fluid at a random place of canal, foramina or sacrum, in place; return the structures left."""
    place = _place_in(np.isin(structures, (EPIDURAL_FAT, NERVE_ROOT, SACRUM)), generator)
    if place is None or not (structures == CAVITY).any():
        return structures
    inside = (
        _ellipse(structures.shape, place, generator.uniform(3.0, 8.0, 2) / pixel_mm, generator.uniform(0, np.pi)) < 1.0
    )
    fluid = image[:, structures == CAVITY].mean(axis=1)
    image[:, inside] = fluid[:, None]
    return np.where(inside & (structures != CAVITY), BACKGROUND, structures).astype(np.uint8)


def _place_in(region: NDArray[np.bool_], generator: np.random.Generator) -> tuple[int, int] | None:
    rows, columns = np.nonzero(region)
    if not len(rows):
        return None
    chosen = int(generator.integers(len(rows)))
    return int(rows[chosen]), int(columns[chosen])


def _ellipse(shape: tuple[int, ...], centre: tuple[float, float], radii: NDArray[np.float64], angle: float) -> Array:
    """Return the distance from the centre of an ellipse, 1 on its border."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    y, x = y - centre[0], x - centre[1]
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.asarray(np.sqrt((across / radii[0]) ** 2 + (along / radii[1]) ** 2))


def _add_organs(image: Array, belly: NDArray[np.bool_], pixel_mm: float, generator: np.random.Generator) -> None:
    """Fill random ellipses of the belly with random signals, in place."""
    for _ in range(int(generator.integers(0, 14))):
        centre, radii = generator.uniform(0, belly.shape), generator.uniform(5.0, 48.0, 2) / pixel_mm
        window = tuple(slice(max(0, int(middle - radii.max())), int(middle + radii.max()) + 1) for middle in centre)
        inside = belly[window]
        middle = (centre[0] - window[0].start, centre[1] - window[1].start)
        organ = inside & (_ellipse(inside.shape, middle, radii, generator.uniform(0, np.pi)) < 1.0)
        signal = generator.uniform(0.0, 1.0, (len(image), 1)) * generator.normal(1.0, 0.04, int(organ.sum()))
        image[(slice(None), *window)][:, organ] = signal
