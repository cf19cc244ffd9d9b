"""Similarity of two images at the same positions, and their overlap."""

from collections.abc import Mapping

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lumbarseg.geometry import sagittal_spacing, sagittal_view, volume
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


def covered_by(fixed: nib.Nifti1Image, moving: nib.Nifti1Image, fixed_to_moving: Matrix) -> NDArray[np.bool_]:
    """Return which voxels of the fixed image lie within the moving image: (i, j, k) of the fixed grid."""
    everywhere = volume(np.ones(moving.shape, dtype=np.uint8), moving.affine)
    return resample(fixed, everywhere, fixed_to_moving) > 0.5


def uncovered_mm(covered: NDArray[np.bool_], affine: NDArray[np.floating]) -> dict[str, float]:
    """Return how much of the fixed image lies outside the moving image, by the side of the patient.

    Args:
        covered: from `covered_by`.
        affine: 4×4 of the fixed image.

    Returns:
        right, left, superior, inferior, anterior and posterior: mm, the thickness of the slices, rows and columns at this end
        of which less than half as many voxels are covered as of those covered most.
    """
    view = sagittal_view(covered, affine)
    sides = (("right", "left"), ("superior", "inferior"), ("anterior", "posterior"))
    uncovered: dict[str, float] = {}
    for axis, (ends, spacing) in enumerate(zip(sides, sagittal_spacing(affine), strict=True)):
        profile = view.mean(axis=tuple(other for other in range(3) if other != axis))
        inside = np.flatnonzero((profile > 0) & (profile >= profile.max() / 2))
        planes = (inside[0], profile.size - 1 - inside[-1]) if inside.size else (profile.size, profile.size)
        uncovered |= {end: round(float(count * spacing), 1) for end, count in zip(ends, planes, strict=True)}
    return uncovered


def describe_uncovered(uncovered: Mapping[str, float]) -> str:
    """Return `uncovered_mm` as text, empty if everything is covered: `left 12 mm, inferior 60 mm`."""
    return ", ".join(f"{side} {length:.0f} mm" for side, length in uncovered.items() if length > 0)


def compare(
    fixed: nib.Nifti1Image, candidates: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]], least_overlap: float
) -> dict[str, dict[str, float]]:
    """Compare candidates for the moving image on the fixed grid.

    Mutual information and correlation are taken where all candidates cover the fixed image, so that a smaller overlap has
    no advantage. Where this is next to nothing, each is taken where it covers the fixed image.

    Args:
        fixed: the T2w image.
        candidates: by name, the moving image on the fixed grid and where it covers it.
        least_overlap: the least fraction of the fixed image in which candidates are compared.

    Returns:
        By name: mutual_information (nats), correlation, and overlap, the fraction of the fixed image's voxels within the
        moving image.
    """
    common = np.all([covered for _, covered in candidates.values()], axis=0)
    in_common = common.mean() >= least_overlap
    similarity = {}
    for name, (registered, covered) in candidates.items():
        places = np.flatnonzero(common if in_common else covered)[::4]  # a quarter of the voxels is enough
        seen = np.asanyarray(fixed.dataobj).ravel()[places].astype(np.float32)
        there = registered.ravel()[places]
        varied = seen.size > 0 and np.ptp(seen) > 0 and np.ptp(there) > 0
        similarity[name] = {
            "mutual_information": round(mutual_information(seen, there), 5) if varied else 0.0,
            "correlation": round(float(np.corrcoef(seen, there)[0, 1]), 5) if varied else 0.0,
            "overlap": round(float(covered.mean()), 4),
        }
    return similarity
