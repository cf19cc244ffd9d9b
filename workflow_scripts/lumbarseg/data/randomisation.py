"""Random appearance of MR images: coil, resolution, motion, noise and grey scale, so that networks do not depend on one scanner.

Contrasts are drawn at random after Billot B et al., SynthSeg: segmentation of brain MRI scans of any contrast and resolution without
retraining, Medical Image Analysis 86:102789, 2023. Images made of tissues (`synthesis.contrast`) have random signals instead; any
other image has a random curve of its grey values.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Image = NDArray[np.floating[Any]]


def smooth_field(generator: np.random.Generator, shape: tuple[int, int], knots: int) -> Image:
    """Draw a smooth random field with mean 0 and a variance of about a half.

    Args:
        generator: source of random numbers.
        shape: rows and columns.
        knots: independent values along each side.

    Returns:
        float32, `shape`.
    """
    coarse = generator.standard_normal((knots, knots), dtype=np.float32)
    rows, columns = (np.linspace(0, knots - 1, size, dtype=np.float32) for size in shape)
    along_rows = _interpolation(rows, knots)
    along_columns = _interpolation(columns, knots)
    return np.asarray(along_rows @ coarse @ along_columns.T, dtype=np.float32)


def _interpolation(places: NDArray[np.float32], knots: int) -> NDArray[np.float32]:
    """Return the weights (places, knots) of raised-cosine interpolation between knots at 0, 1, …"""
    distance = np.abs(places[:, None] - np.arange(knots, dtype=np.float32))
    return np.where(distance < 1, 0.5 + 0.5 * np.cos(np.pi * distance), 0.0).astype(np.float32)


def randomise_appearance(image: Image, generator: np.random.Generator, strength: float = 1.0) -> Image:
    """Change how an image looks, not what is where.

    In this order: coil sensitivity and saturation, resolution along one axis or both, motion ghosts, truncation of k-space, Rician
    noise, gamma, saturation of the brightest and the darkest values.

    Args:
        image: (rows, columns) float32, any scale; its darkest percentile is taken for air.
        generator: source of random numbers.
        strength: 0 (hardly anything) … 1, scales the greatest changes.

    Returns:
        (rows, columns) float32, mean 0 and standard deviation 1.
    """
    low, high = np.percentile(image[::2, ::2], (1, 99))
    scaled = (image - low) / max(float(high - low), 1e-6)
    np.maximum(scaled, 0, out=scaled)
    scaled = scaled * _coil(generator, image.shape, strength)
    scaled = _resolution(scaled, generator, strength)
    scaled = _ghosts(scaled, generator, strength)
    scaled = _noise(scaled, generator, strength)
    gamma = np.exp(generator.normal(0.0, 0.22 * strength))
    top = np.percentile(scaled[::2, ::2], generator.uniform(98.0, 100.0))
    scaled = np.clip(scaled / max(float(top), 1e-6), 0.0, 1.3) ** np.float32(gamma)
    return standardised(scaled)


def random_curve(image: Image, generator: np.random.Generator, knots: int = 6) -> Image:
    """Map grey values by a random continuous curve, which need not rise: the contrast of another sequence, as far as one image has it.

    Args:
        image: (rows, columns) float32.
        generator: source of random numbers.
        knots: of the curve, between the percentiles 1 and 99.

    Returns:
        (rows, columns) float32, 0 … 1; the darkest value stays the darkest.
    """
    low, high = np.percentile(image[::2, ::2], (1, 99))
    values = np.concatenate([[0.0], generator.uniform(0.1, 1.0, knots - 1)])
    return np.interp(image, np.linspace(low, high, knots), values).astype(np.float32)


def standardised(image: Image) -> Image:
    """Shift and scale to mean 0 and standard deviation 1."""
    deviation = float(image.std())
    return np.asarray((image - image.mean()) / max(deviation, 1e-6), dtype=np.float32)


def _coil(generator: np.random.Generator, shape: tuple[int, ...], strength: float) -> Image:
    """A slope, a smooth field and, in a third of the images, a band that is saturated."""
    rows, columns = shape
    field = smooth_field(generator, (rows, columns), int(generator.integers(2, 5)))
    slope = generator.normal(0.0, 0.35, 2)
    tilt = slope[0] * np.linspace(-1, 1, rows)[:, None] + slope[1] * np.linspace(-1, 1, columns)
    factor = np.exp(strength * (0.22 * field + tilt)).astype(np.float32)
    if generator.random() < 0.33 * strength:
        start, width = generator.uniform(0.0, 0.35) * columns, generator.uniform(2.0, 10.0)
        edge = 1.0 / (1.0 + np.exp(-(np.arange(columns) - start) / width))
        factor = factor * (generator.uniform(0.05, 0.6) * (1.0 - edge) + edge).astype(np.float32)
    return np.asarray(factor, dtype=np.float32)


def _resolution(image: Image, generator: np.random.Generator, strength: float) -> Image:
    for axis in (0, 1):
        if generator.random() < 0.5 * strength:
            image = ndimage.gaussian_filter1d(image, generator.uniform(0.3, 1.1), axis=axis, truncate=3.0)
    if generator.random() < 0.25 * strength:
        axis = int(generator.integers(2))
        spectrum = fft.rfft(image, axis=axis)
        kept = int(spectrum.shape[axis] * generator.uniform(0.45, 0.9))
        spectrum[(slice(kept, None), slice(None)) if axis == 0 else (slice(None), slice(kept, None))] = 0
        image = np.maximum(fft.irfft(spectrum, n=image.shape[axis], axis=axis), 0.0).astype(np.float32)
    return image


def _ghosts(image: Image, generator: np.random.Generator, strength: float) -> Image:
    if generator.random() < 0.3 * strength:
        axis = int(generator.integers(2))
        share, cycles = generator.uniform(0.01, 0.06), generator.uniform(2.0, 9.0)
        shift = int(image.shape[axis] / cycles)
        ghost = np.roll(image, shift, axis) + np.roll(image, -shift, axis)
        image = image + np.float32(share) * ghost
    return image


def _noise(image: Image, generator: np.random.Generator, strength: float) -> Image:
    deviation = np.float32(strength * 0.08 * generator.random() ** 2 + 0.004)
    white = generator.standard_normal((2, *image.shape), dtype=np.float32) * deviation
    if generator.random() < 0.5:  # smooth, as in an interpolated matrix
        white = ndimage.gaussian_filter(white, (0, 0.6, 0.6), truncate=2.5) * np.float32(1.6)
    return np.hypot(image + white[0], white[1])
