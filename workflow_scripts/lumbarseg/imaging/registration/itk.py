"""Registration by ITK: Mattes mutual information, coarse to fine in plane, starting at the header geometry."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its usual name)

from lumbarseg.config.image_sections import Registration
from lumbarseg.errors import InputError
from lumbarseg.imaging.registration.transforms import Matrix, from_transform, to_itk

_BINS = 32
_SAME_START = 0.5  # mm
_THICKER = 1.5  # factor of the slice distances above which T2w is registered to T1w, and the result inverted
# A quarter of the voxels within these limits; more than 200,000 do not reduce the error (0.08 mm on average at 512²).
_FEWEST_SAMPLES, _MOST_SAMPLES = 30_000, 200_000

_FINER = 0.6  # axes with spacing below this fraction of the target pixel are shrunk; slices 2.9 mm apart never are
# The pyramid, coarse to fine: target pixel (mm), smoothing (mm), maximum of iterations, first step (mm).
_LEVELS = ((4.8, 3.0, 60, 2.0), (2.4, 1.5, 30, 1.0), (1.2, 0.6, 15, 0.5), (0.6, 0.0, 10, 0.1))


def estimate(
    fixed_path: str | Path,
    moving_path: str | Path,
    fixed: nib.Nifti1Image,
    moving: nib.Nifti1Image,
    settings: Registration,
) -> tuple[Matrix, str]:
    """Register with ITK, in one thread, because results of several threads differ in the last bits.

    Args:
        fixed_path: path of the T2w image, for messages.
        moving_path: path of the T1w image, for messages.
        fixed: the T2w image.
        moving: the T1w image.
        settings: `degrees_of_freedom`: 6, or 12 starting at the rigid result.

    Returns:
        The affine from fixed to moving points (4×4, RAS, mm), and ITK's version.

    Raises:
        InputError: images that hardly overlap from any start.
    """
    if max(moving.header.get_zooms()) > _THICKER * max(fixed.header.get_zooms()):
        # the finer image is interpolated, which is exact only where its slices are close
        inverse, version = estimate(moving_path, fixed_path, moving, fixed, settings)
        return np.asarray(np.linalg.inv(inverse), dtype=np.float64), version
    fixed_image, moving_image = _clamped(to_itk(fixed)), _clamped(to_itk(moving))
    levels = _pyramid(fixed_image, moving_image)
    coarsest = levels[0]
    tried = [_optimise(*coarsest, start) for start in _rigid_starts(fixed_image, moving_image)]
    transform, metric = min(tried, key=lambda result: result[1])
    if not np.isfinite(metric):
        raise InputError(
            f"{moving_path}: no overlap with {fixed_path} from any start; check that both images belong to one session"
        )
    for level in levels[1:]:
        transform = _optimise(*level, transform)[0]
    if settings.degrees_of_freedom == 12:
        affine = sitk.AffineTransform(3)
        affine.SetCenter(transform.GetCenter())
        affine.SetMatrix(transform.GetMatrix())
        affine.SetTranslation(transform.GetTranslation())
        transform = affine
        for level in levels[-2:]:
            transform = _optimise(*level, transform)[0]
    return from_transform(transform), sitk.Version.VersionString()


def _pyramid(fixed: sitk.Image, moving: sitk.Image) -> list[tuple[sitk.Image, sitk.Image, int, float]]:
    """Return both images, the iterations and the first step of each level, coarse to fine.

    Pixels coarser than the targets of several levels give the same grids several times. These levels are one: with the
    images of the finest, which are the sharpest, and the iterations and the step of the coarsest, which reach farthest.
    """
    pyramid: list[tuple[sitk.Image, sitk.Image, int, float]] = []
    for pixel, sigma, iterations, step in _LEVELS:
        images = _shrunk(fixed, pixel, sigma), _shrunk(moving, pixel, sigma)
        if pyramid and [one.GetSize() for one in images] == [one.GetSize() for one in pyramid[-1][:2]]:
            *_, iterations, step = pyramid.pop()
        pyramid.append((*images, iterations, step))
    return pyramid


def _rigid_starts(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    """Return the header geometry, and translations that align the image centres and the centres of mass."""
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
    method.SetNumberOfThreads(1)  # sums over several threads differ in the last bits from run to run
    method.SetMetricAsMattesMutualInformation(_BINS)
    # these filters smooth by the largest spacing, that of the slices, which is several pixels in plane
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    voxels = fixed.GetNumberOfPixels()
    sampled = min(voxels, max(_FEWEST_SAMPLES, min(voxels // 4, _MOST_SAMPLES)))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(sampled / voxels, 1)  # 1 is the seed of the sample positions within voxels
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
    except RuntimeError:  # hardly any overlap: the worst possible start
        return type(start)(start), float("inf")
    return transform, float(method.GetMetricValue())


def _clamped(image: sitk.Image) -> sitk.Image:
    low, high = np.percentile(sitk.GetArrayViewFromImage(image), [0.5, 99.5])
    return sitk.Clamp(image, sitk.sitkFloat32, float(low), float(high)) - float(
        low
    )  # centres of mass need no negatives


def _shrunk(image: sitk.Image, pixel: float, sigma: float) -> sitk.Image:
    """Smooth and shrink along the axes that are much finer than `pixel`, which are those in plane for thick slices."""
    fine = [spacing <= _FINER * pixel for spacing in image.GetSpacing()]
    factors = [
        round(pixel / spacing) if is_fine else 1 for spacing, is_fine in zip(image.GetSpacing(), fine, strict=True)
    ]
    for axis in np.flatnonzero(fine).tolist() if sigma > 0 else []:
        image = sitk.RecursiveGaussian(image, sigma=sigma, direction=axis)
    # means of pixels; `Shrink` would take every n-th pixel, which is up to half a pixel from where its header says
    return sitk.BinShrink(image, factors)
