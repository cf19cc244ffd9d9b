"""Registration of a session: estimate, check, and write the T1w image on the T2w grid."""

import logging
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its usual name)

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.config.image_sections import Registration
from lumbarseg.geometry import codes_of, corner_displacement, load_image, volume
from lumbarseg.imaging.registration import flirt, itk
from lumbarseg.imaging.registration.similarity import compare
from lumbarseg.imaging.registration.transforms import resample, shift_and_rotation, to_flirt

logger = logging.getLogger("lumbarseg")

_ENGINES = {"itk": itk.estimate, "flirt": flirt.estimate}


def register(
    fixed_path: str | Path,
    moving_path: str | Path,
    registered_path: str | Path,
    matrix_path: str | Path,
    report_path: str | Path,
    settings: Registration,
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
            whether shift or rotation is unusual, and whether the header geometry was used instead, and why.
        settings: the config's `registration`. The engine `itk` uses one thread and is reproducible to the last bit; `flirt` needs FSL.

    Raises:
        InputError: an image cannot be used, or FSL is not installed or fails.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the scheduler assigned one core to the job
    fixed, moving = load_image(fixed_path), load_image(moving_path)
    begin = time.perf_counter()
    estimated, version = _ENGINES[settings.engine](fixed_path, moving_path, fixed, moving, settings)
    seconds = time.perf_counter() - begin

    before, after = resample(fixed, moving, np.eye(4)), resample(fixed, moving, estimated)
    similarity = compare(fixed, moving, {"before": (before, np.eye(4)), "after": (after, estimated)})
    shift, rotation = shift_and_rotation(fixed, estimated)
    length = float(np.linalg.norm(shift))
    doubts = []
    if length > settings.max_shift_mm:
        doubts.append(f"shift of {length:.1f} mm, more than {settings.max_shift_mm:g} mm")
    if rotation > settings.max_rotation_deg:
        doubts.append(f"rotation of {rotation:.1f} degrees, more than {settings.max_rotation_deg:g} degrees")
    if not similarity["after"]["mutual_information"] >= similarity["before"]["mutual_information"]:
        doubts.append("mutual information lower than with the header geometry")
    fell_back = bool(doubts)
    matrix, registered = (np.eye(4), before) if fell_back else (estimated, after)
    if fell_back:
        logger.warning(
            "%s: registration to %s rejected (%s), header geometry used; check it on the quality page",
            moving_path, fixed_path, "; ".join(doubts),
        )  # fmt: skip

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
            "unusual": length > settings.unusual_shift_mm or rotation > settings.unusual_rotation_deg,
            "fell_back_to_header": fell_back,
            "reason": "; ".join(doubts) or None,
        },
    )
