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
