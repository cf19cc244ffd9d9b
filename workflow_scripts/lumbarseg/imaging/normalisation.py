"""Normalisation of intensities: zero mean and unit variance per channel (Section 3.1.1)."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# A standard deviation below this fraction of the mean is rounding: the volume is constant.
_SMALLEST_SPREAD = 1e-7


def zscore(voxels: NDArray[Any], scope: Literal["volume", "slice"] = "volume") -> NDArray[np.float32]:
    """Normalise one channel to zero mean and unit variance.

    Mean and standard deviation are those of the non-zero voxels, because zeros lie outside the body or, after
    registration, outside the moving image. Zeros are normalised with the same values.

    Args:
        voxels: (slices, rows, columns), the sagittal view of one channel, any real dtype.
        scope: statistics of the whole volume, or of each slice.

    Returns:
        float32, the same shape; zeros if the non-zero voxels are all equal or there are none.
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
