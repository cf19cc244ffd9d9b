"""Registration by ITK: from the header's geometry, coarse to fine in plane, by Mattes mutual information."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its usual name)

from lumbarseg.config.schema import Registration
from lumbarseg.errors import InputError
from lumbarseg.imaging.registration.transforms import Matrix, from_transform, to_itk

_BINS = 32
_SAME_START = 0.5  # mm
# A quarter of the voxels; more than 200,000 cost time and find nothing nearer (mean error 0.08 mm either way at 512²).
_FEWEST_SAMPLES, _MOST_SAMPLES = 30_000, 200_000

_FINER = 0.6  # of a pixel aimed at: axes with smaller steps are shrunk; slices 2.9 mm apart and more never are
# The pyramid, coarse to fine: pixel size aimed at (mm), smoothing (mm), most iterations, first step (mm).
_LEVELS = ((4.8, 3.0, 60, 2.0), (2.4, 1.5, 30, 1.0), (1.2, 0.6, 15, 0.5), (0.6, 0.0, 10, 0.1))


def estimate(
    fixed_path: str | Path,
    moving_path: str | Path,
    fixed: nib.Nifti1Image,
    moving: nib.Nifti1Image,
    settings: Registration,
) -> tuple[Matrix, str]:
    """Register with ITK, in one thread: the same result to the last bit.

    Args:
        fixed_path: the T2w image, to name it.
        moving_path: the T1w image, to name it.
        fixed: the T2w image.
        moving: the T1w image.
        settings: `degrees_of_freedom`: 6, or 12 from the rigid result.

    Returns:
        The world map from fixed to moving points (RAS, mm), and ITK's version.

    Raises:
        InputError: an image of one value, or images that hardly overlap.
    """
    fixed_image, moving_image = _clamped(to_itk(fixed)), _clamped(to_itk(moving))
    for path, image in ((fixed_path, fixed_image), (moving_path, moving_image)):
        if np.ptp(sitk.GetArrayViewFromImage(image)) == 0:
            raise InputError(f"{path}: expected an image with contrast, found one value nearly everywhere; look at it")
    levels = [(_shrunk(fixed_image, *level[:2]), _shrunk(moving_image, *level[:2]), *level[2:]) for level in _LEVELS]
    # images coarser than the finest levels aim at give the same grid twice: keep the sharper
    distinct = [one for one, finer in zip(levels, [*levels[1:], None], strict=True) if _finer(one, finer)]
    coarsest = distinct[0]
    tried = [_optimise(*coarsest, start) for start in _rigid_starts(fixed_image, moving_image)]
    transform, metric = min(tried, key=lambda result: result[1])
    if not np.isfinite(metric):
        raise InputError(
            f"{moving_path}: expected an image that overlaps {fixed_path}, found next to no overlap; are the two of one "
            "session?"
        )
    for level in distinct[1:]:
        transform = _optimise(*level, transform)[0]
    if settings.degrees_of_freedom == 12:
        affine = sitk.AffineTransform(3)
        affine.SetCenter(transform.GetCenter())
        affine.SetMatrix(transform.GetMatrix())
        affine.SetTranslation(transform.GetTranslation())
        transform = affine
        for level in distinct[-2:]:
            transform = _optimise(*level, transform)[0]
    return from_transform(transform), sitk.Version.VersionString()


def _finer(level: tuple[Any, ...], next_level: tuple[Any, ...] | None) -> bool:
    return next_level is None or level[0].GetSize() != next_level[0].GetSize()


def _rigid_starts(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    """Give the header's geometry, the two centres and the two centres of mass on one another."""
    header = sitk.Euler3DTransform()
    header.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in fixed.GetSize()]))
    starts = [header]
    for centres in (sitk.CenteredTransformInitializerFilter.GEOMETRY, sitk.CenteredTransformInitializerFilter.MOMENTS):
        initial = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), centres)
        start = sitk.Euler3DTransform(header)
        start.SetTranslation(sitk.Euler3DTransform(initial).GetTranslation())
        if all(
            np.linalg.norm(np.subtract(start.GetTranslation(), one.GetTranslation())) > _SAME_START for one in starts
        ):
            starts.append(start)
    return starts


def _optimise(
    fixed: sitk.Image, moving: sitk.Image, iterations: int, step: float, start: sitk.Transform
) -> tuple[Any, float]:
    transform = type(start)(start)
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in threads differ in the last bits from run to run
    method.SetMetricAsMattesMutualInformation(_BINS)
    # ITK smooths gradient images with the largest spacing, which is that of the slices: several pixels in plane
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    voxels = fixed.GetNumberOfPixels()
    sampled = min(voxels, max(_FEWEST_SAMPLES, min(voxels // 4, _MOST_SAMPLES)))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(sampled / voxels, 1)  # 1 is the seed of where the samples lie within voxels
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=step,
        minStep=0.005,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # hardly any overlap: as bad a start as there can be
        return type(start)(start), float("inf")
    return transform, float(method.GetMetricValue())


def _clamped(image: sitk.Image) -> sitk.Image:
    low, high = np.percentile(sitk.GetArrayViewFromImage(image), [0.5, 99.5])
    return sitk.Clamp(image, sitk.sitkFloat32, float(low), float(high)) - float(
        low
    )  # centres of mass need no negatives


def _shrunk(image: sitk.Image, pixel: float, sigma: float) -> sitk.Image:
    """Smooth and shrink along the axes that are much finer than `pixel`: in plane, where slices are thick."""
    fine = [spacing <= _FINER * pixel for spacing in image.GetSpacing()]
    factors = [
        round(pixel / spacing) if is_fine else 1 for spacing, is_fine in zip(image.GetSpacing(), fine, strict=True)
    ]
    for axis in np.flatnonzero(fine).tolist() if sigma > 0 else []:
        image = sitk.RecursiveGaussian(image, sigma=sigma, direction=axis)
    return sitk.Shrink(image, factors)
