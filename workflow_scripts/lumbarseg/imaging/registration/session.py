"""Registration of a session: estimate, check, and write the T1w image on the T2w grid."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its usual name)

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.config.image_sections import Registration
from lumbarseg.errors import InputError
from lumbarseg.geometry import codes_of, corner_displacement, load_image, sagittal_spacing, volume
from lumbarseg.imaging.registration import flirt, itk
from lumbarseg.imaging.registration.similarity import compare, covered_by, describe_uncovered, uncovered_mm
from lumbarseg.imaging.registration.transforms import resample, shift_and_rotation, to_flirt

logger = logging.getLogger("lumbarseg")

_ENGINES = {"itk": itk.estimate, "flirt": flirt.estimate}

_LEAST_OVERLAP = 0.05  # fraction of the T2w image; below it images do not overlap
# Mutual information rises at least by this factor where a motion beyond the limits is real (1.5 to 3 on phantoms), and falls
# where a registration has failed by centimetres.
_CLEAR_GAIN = 1.2
# Beyond these distances of pixels and slices of either image, in mm, the error may exceed 0.35 mm.
_COARSE_PIXEL, _COARSE_SLICES = 2.5, 7.0


def register(
    fixed_path: str | Path,
    moving_path: str | Path,
    registered_path: str | Path,
    matrix_path: str | Path,
    report_path: str | Path,
    settings: Registration,
    names: tuple[str | Path, str | Path] | None = None,
) -> None:
    """Register the moving image and resample it onto the grid of the fixed image.

    Args:
        fixed_path: the T2w image.
        moving_path: the T1w image.
        registered_path: `.nii.gz` to write: the moving image on the fixed grid, float32, linear interpolation, 0 outside
            the moving image, header codes of the fixed image.
        matrix_path: text to write: FLIRT's 4×4 matrix from moving to fixed, whichever engine estimated it.
        report_path: JSON to write: engine, version, seconds, shift (mm, of the moving image at the centre of the fixed one:
            R, A, S, and its length), rotation (degrees), corner_displacement (mm, the largest displacement of a corner of
            the fixed grid), mutual information (nats), correlation and overlap before (header geometry) and after,
            whether shift or rotation is unusual, whether the header geometry was used instead, and why; and of the
            geometry that was used overlap, uncovered_mm (see `similarity.uncovered_mm`), and remarks: further reasons to
            check it, as sentences.
        settings: the config's `registration`. The engine `itk` uses one thread and is reproducible to the last bit; `flirt` needs FSL.
        names: of the fixed and the moving image in messages, where the images are temporary; None for their paths.

    Raises:
        InputError: an image cannot be used, the images overlap neither by their headers nor once registered, or FSL is not
            installed or fails.
    """
    fixed_name, moving_name = names or (fixed_path, moving_path)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the scheduler assigned one core to the job
    fixed, moving = load_image(fixed_path, "convert"), load_image(moving_path, "convert")
    for name, image in ((fixed_name, fixed), (moving_name, moving)):
        _require_contrast(name, image)
    begin = time.perf_counter()
    # FLIRT reads the files; ITK takes the images, and paths for messages alone.
    paths = (fixed_name, moving_name) if settings.engine == "itk" else (fixed_path, moving_path)
    estimated, version = _ENGINES[settings.engine](*paths, fixed, moving, settings)
    seconds = time.perf_counter() - begin

    before, after = resample(fixed, moving, np.eye(4)), resample(fixed, moving, estimated)
    covered = {"before": covered_by(fixed, moving, np.eye(4)), "after": covered_by(fixed, moving, estimated)}
    candidates = {"before": (before, covered["before"]), "after": (after, covered["after"])}
    similarity = compare(fixed, candidates, _LEAST_OVERLAP)
    shift, rotation = shift_and_rotation(fixed, estimated)
    length = float(np.linalg.norm(shift))
    overlaps = {name: similarity[name]["overlap"] >= _LEAST_OVERLAP for name in similarity}
    if not any(overlaps.values()):
        raise InputError(
            f"{moving_name}: no overlap with {fixed_name}, neither by the headers nor once registered by {settings.engine}; check "
            "that both images show the same part of one patient, or convert them again from the DICOM files"
        )
    far = _beyond_limits(length, rotation, settings)
    reason = _reason_for_header(similarity, overlaps, far)
    if reason:
        logger.warning(
            "%s: registration to %s rejected (%s), header geometry used; check the registration",
            moving_name, fixed_name, reason,
        )  # fmt: skip
    elif far or not overlaps["before"]:
        logger.warning(
            "%s: moved by %.1f mm and %.1f degrees onto %s, because %s; check the registration",
            moving_name, length, rotation, fixed_name,
            "mutual information is clearly higher there" if overlaps["before"] else "they do not overlap by their headers",
        )  # fmt: skip
    used = "before" if reason else "after"
    matrix, registered = (np.eye(4), before) if reason else (estimated, after)
    uncovered = uncovered_mm(covered[used], fixed.affine)

    with atomic_write(registered_path) as temporary:
        nib.save(volume(registered, fixed.affine, codes_of(fixed)), temporary)
    with atomic_write(matrix_path) as temporary:
        np.savetxt(temporary, to_flirt(matrix, fixed, moving), fmt="%.10f")
    write_json(
        report_path,
        {
            "engine": settings.engine,
            "version": version,
            "degrees_of_freedom": settings.degrees_of_freedom,
            "seconds": round(seconds, 2),
            "shift_mm": [round(float(part), 4) for part in shift],
            "shift_length_mm": round(length, 4),
            "rotation_degrees": round(rotation, 4),
            "corner_displacement_mm": round(
                corner_displacement(fixed.shape, fixed.affine, estimated @ fixed.affine), 4
            ),
            "before": similarity["before"],
            "after": similarity["after"],
            "unusual": length > settings.unusual_shift_mm or rotation > settings.unusual_rotation_deg or bool(far),
            "fell_back_to_header": reason is not None,
            "reason": reason,
            "overlap": similarity[used]["overlap"],
            "uncovered_mm": uncovered,
            "remarks": [
                *_remarks_on_overlap(similarity[used]["overlap"], uncovered, settings),
                *_remarks_on_grids(fixed, moving),
            ],
        },
    )


def _require_contrast(name: str | Path, image: nib.Nifti1Image) -> None:
    low, high = np.percentile(np.asanyarray(image.dataobj), [0.5, 99.5])
    if not high > low:
        raise InputError(f"{name}: nearly all voxels have the same value, so it cannot be registered; check the image")


def _beyond_limits(length: float, rotation: float, settings: Registration) -> list[str]:
    """Return what exceeds the limits beyond which a motion needs clear evidence."""
    far = []
    if length > settings.max_shift_mm:
        far.append(f"shift of {length:.1f} mm, more than {settings.max_shift_mm:g} mm")
    if rotation > settings.max_rotation_deg:
        far.append(f"rotation of {rotation:.1f} degrees, more than {settings.max_rotation_deg:g} degrees")
    return far


def _reason_for_header(
    similarity: Mapping[str, Mapping[str, float]], overlaps: Mapping[str, bool], far: Sequence[str]
) -> str | None:
    """Return why the header geometry is used: it overlaps, and is the more likely of the two. None if it is not used."""
    if not overlaps["before"]:
        return None
    before, after = (similarity[name]["mutual_information"] for name in ("before", "after"))
    if not overlaps["after"]:
        reasons = [*far, "no overlap once registered"]
    elif not after >= before:
        reasons = [*far, "mutual information lower than with the header geometry"]
    elif far and not after >= _CLEAR_GAIN * before:
        reasons = [*far, "mutual information hardly higher than with the header geometry"]
    else:
        reasons = []
    return "; ".join(reasons) or None


def _remarks_on_overlap(overlap: float, uncovered: Mapping[str, float], settings: Registration) -> list[str]:
    if overlap >= settings.unusual_overlap:
        return []
    return [
        f"T1w covers {100 * overlap:.0f} % of T2w (not covered: {describe_uncovered(uncovered) or 'parts of all slices'})"
    ]


def _remarks_on_grids(fixed: nib.Nifti1Image, moving: nib.Nifti1Image) -> list[str]:
    """Return what makes the images too coarse for an error below 0.35 mm."""
    (slices, *pixels), (moving_slices, *moving_pixels) = (sagittal_spacing(image.affine) for image in (fixed, moving))
    remarks = []
    if max(*pixels, *moving_pixels) > _COARSE_PIXEL:
        remarks.append(f"pixels of {max(*pixels, *moving_pixels):.1f} mm, too coarse for an exact registration")
    if max(slices, moving_slices) > _COARSE_SLICES:
        remarks.append(f"slices {max(slices, moving_slices):.1f} mm apart, too far for an exact registration")
    return remarks
