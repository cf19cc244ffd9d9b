"""Normalisation of intensities (Section 3.1.1: zero mean and unit variance, each channel for itself)."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# A spread below this part of the mean is rounding: the volume is constant.
_SMALLEST_SPREAD = 1e-7


def zscore(voxels: NDArray[Any], scope: Literal["volume", "slice"] = "volume") -> NDArray[np.float32]:
    """Normalise one channel to zero mean and unit variance.

    Mean and standard deviation are those of the non-zero voxels: zeros are what lies outside the body or outside the
    moving image after registration, and would pull both. Zeros are normalised with the rest.

    Args:
        voxels: (slices, rows, columns), the sagittal view of one channel, any real dtype.
        scope: statistics of the whole volume, or of each slice for itself.

    Returns:
        float32, the same shape. Where the non-zero voxels are all the same, or there are none: zeros.
    """
    if scope == "slice":
        normalised = np.zeros(voxels.shape, dtype=np.float32)
        for index, image in enumerate(voxels):
            normalised[index] = zscore(image)
        return normalised
    inside = voxels[voxels != 0].astype(np.float64)
    mean, spread = (inside.mean(), inside.std()) if inside.size else (0.0, 0.0)
    if spread <= _SMALLEST_SPREAD * abs(mean):
        return np.zeros(voxels.shape, dtype=np.float32)
    return ((voxels - mean) / spread).astype(np.float32)


def brightness_and_noise(voxels: NDArray[Any]) -> tuple[float, float]:
    """Measure what the paper's selection looks at (Section 3.1.1: "quality requirements in terms of brightness and noise").

    The body is what is brighter than a tenth of the bright level (the 99.5th percentile). Noise is taken from differences
    of neighbours that any plane through them cancels (Immerkær 1996, doi 10.1006/cviu.1996.0060), by their median, so
    that edges do not count.

    Args:
        voxels: (slices, rows, columns), the sagittal view of one channel, any real dtype.

    Returns:
        Brightness: the median of the body by the bright level, 0 … 1. Noise: its standard deviation by the median of the
        body. Both NaN where there is no body.
    """
    values = voxels.astype(np.float32)
    bright = float(np.percentile(values, 99.5))
    inside = values > 0.1 * bright
    if bright <= 0 or not inside.any() or min(values.shape[1:]) < 3:
        return float("nan"), float("nan")
    level = float(np.median(values[inside]))
    differences = np.diff(np.diff(values, n=2, axis=1), n=2, axis=2)
    flat = np.abs(differences[inside[:, 1:-1, 1:-1]])
    # the mask [1 −2 1; −2 4 −2; 1 −2 1] makes noise of deviation s one of deviation 6 s
    noise = float(np.median(flat)) / 0.6745 / 6 if flat.size else float("nan")
    return level / bright, noise / level
