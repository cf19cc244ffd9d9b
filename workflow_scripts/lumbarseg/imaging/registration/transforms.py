"""The affine from fixed to moving points: conversion from and to FLIRT and ITK, resampling, and size of the motion."""

from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its usual name)
from fsl.data.image import Nifti
from fsl.transform.flirt import fromFlirt, toFlirt
from numpy.typing import NDArray

from lumbarseg.geometry import nearest_perpendicular

Matrix = NDArray[np.float64]

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS (ITK) to RAS and back


def to_flirt(fixed_to_moving: Matrix, fixed: nib.Nifti1Image, moving: nib.Nifti1Image) -> Matrix:
    """Convert an affine from fixed to moving points (RAS, mm) to FLIRT's matrix (scaled voxels, moving to fixed)."""
    return toFlirt(np.linalg.inv(fixed_to_moving), Nifti(moving.header), Nifti(fixed.header), "world", "world")


def from_flirt(matrix: Matrix, fixed: nib.Nifti1Image, moving: nib.Nifti1Image) -> Matrix:
    """Convert FLIRT's matrix (scaled voxels, moving to fixed) to an affine from fixed to moving points (RAS, mm)."""
    return np.linalg.inv(fromFlirt(matrix, Nifti(moving.header), Nifti(fixed.header), "world", "world"))


def resample(fixed: nib.Nifti1Image, moving: nib.Nifti1Image, fixed_to_moving: Matrix) -> NDArray[np.float32]:
    """Resample the moving image onto the fixed grid: (i, j, k) float32, linear interpolation, 0 outside."""
    grid = to_itk(fixed, sitk.sitkUInt8, empty=True)
    image = sitk.Resample(to_itk(moving), grid, _to_transform(fixed_to_moving), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def shift_and_rotation(fixed: nib.Nifti1Image, fixed_to_moving: Matrix) -> tuple[NDArray[np.float64], float]:
    """Measure the motion of the moving image.

    Returns:
        The shift at the centre of the fixed image, mm towards right, anterior, superior; and the angle of the rotation in
        degrees, for an affine that of the nearest rotation.
    """
    centre = fixed.affine @ [*(np.subtract(fixed.shape, 1) / 2), 1]
    left, _, right = np.linalg.svd(np.linalg.inv(fixed_to_moving)[:3, :3])
    cosine = (np.trace(left @ right) - 1) / 2
    return (centre - fixed_to_moving @ centre)[:3], float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def to_itk(image: nib.Nifti1Image, dtype: int = sitk.sitkFloat32, empty: bool = False) -> sitk.Image:
    """Convert an image to ITK (LPS); with `empty` only its grid, all zeros of `dtype`."""
    if empty:
        made = sitk.Image([int(size) for size in image.shape], dtype)
    else:
        voxels = np.asanyarray(image.dataobj, dtype=np.float32)
        made = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    affine = _FLIP @ image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    made.SetOrigin([float(part) for part in affine[:3, 3]])
    made.SetSpacing([float(part) for part in spacing])
    made.SetDirection([float(part) for part in nearest_perpendicular(affine[:3, :3] / spacing).ravel()])
    return made


def _to_transform(fixed_to_moving: Matrix) -> sitk.AffineTransform:
    matrix = _FLIP @ fixed_to_moving @ _FLIP
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(part) for part in matrix[:3, :3].ravel()])
    transform.SetTranslation([float(part) for part in matrix[:3, 3]])
    return transform


def from_transform(transform: Any) -> Matrix:
    """Convert ITK's transform (LPS, with a centre, fixed to moving points) to an affine (4×4, RAS, mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(transform.GetMatrix(), (3, 3))
    centre = np.array(transform.GetCenter())
    matrix[:3, 3] = np.array(transform.GetTranslation()) + centre - matrix[:3, :3] @ centre
    return _FLIP @ matrix @ _FLIP
