"""Similarity of two images at the same positions, and their overlap."""

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lumbarseg.geometry import volume
from lumbarseg.imaging.registration.transforms import Matrix, resample

_BINS = 32


def mutual_information(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the mutual information of two sets of intensities at the same positions, in nats, from 32 × 32 bins.

    Args:
        first: (n,).
        second: (n,).
    """
    bins = []
    for values in (first, second):
        low, high = np.percentile(values, [0.5, 99.5])
        bins.append(np.clip((values - low) * (_BINS / max(high - low, 1e-12)), 0, _BINS - 1).astype(np.intp))
    joint = np.bincount(bins[0] * _BINS + bins[1], minlength=_BINS**2).reshape(_BINS, _BINS) / first.size
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / apart[filled])).sum())


def compare(
    fixed: nib.Nifti1Image, moving: nib.Nifti1Image, candidates: dict[str, tuple[NDArray[np.float32], Matrix]]
) -> dict[str, dict[str, float]]:
    """Compare candidates for the moving image on the fixed grid.

    Mutual information and correlation are taken where all candidates cover the fixed image, so that a smaller overlap has
    no advantage.

    Args:
        fixed: the T2w image.
        moving: the T1w image.
        candidates: by name, the moving image on the fixed grid and the affine from fixed to moving that was used.

    Returns:
        By name: mutual_information (nats), correlation, and overlap, the fraction of the fixed image's voxels within the
        moving image.
    """
    everywhere = volume(np.ones(moving.shape, dtype=np.uint8), moving.affine)
    covered = {name: resample(fixed, everywhere, matrix) > 0.5 for name, (_, matrix) in candidates.items()}
    common = np.all(list(covered.values()), axis=0)
    places = np.flatnonzero(common)[::4]  # a quarter of the voxels is enough
    seen = np.asanyarray(fixed.dataobj).ravel()[places].astype(np.float32)
    similarity = {}
    for name, (registered, _) in candidates.items():
        there = registered.ravel()[places]
        varied = seen.size > 0 and np.ptp(seen) > 0 and np.ptp(there) > 0
        similarity[name] = {
            "mutual_information": round(mutual_information(seen, there), 5) if varied else 0.0,
            "correlation": round(float(np.corrcoef(seen, there)[0, 1]), 5) if varied else 0.0,
            "overlap": round(float(covered[name].mean()), 4),
        }
    return similarity
