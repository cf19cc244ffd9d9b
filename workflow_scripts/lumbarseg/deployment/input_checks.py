"""Checks of new images before networks are loaded: one patient, and MR. Conversion checks everything else."""

from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_folder import find_series

# CT is recognised by air, which is far below zero in Hounsfield units and a large part of the image.
_AIR, _AIR_FRACTION = -500, 0.02


def require_one_patient(sources: Mapping[str, Path]) -> None:
    """Require that DICOM folders hold the images of one patient; other files do not identify their patient.

    Args:
        sources: by contrast, a DICOM folder or an image file.

    Raises:
        InputError: the folders belong to several patients, or cannot be used.
    """
    patients = {
        contrast: find_series(source)[0].slices[0].patient for contrast, source in sources.items() if source.is_dir()
    }
    if len(set(patients.values())) > 1:
        named = " and ".join(f"{contrast} in {sources[contrast]}" for contrast in patients)
        raise InputError(
            f"{named}: images of {len(set(patients.values()))} patients; use both contrasts of one session"
        )


def require_mr(image: nib.Nifti1Image, source: str | Path) -> None:
    """Require an image that can be MR; for DICOM files, conversion has already checked the modality.

    Args:
        image: the converted image.
        source: its source, for the message.

    Raises:
        InputError: the image is a CT.
    """
    fraction = float(np.mean(np.asanyarray(image.dataobj) < _AIR))
    if fraction > _AIR_FRACTION:
        raise InputError(
            f"{source}: {100 * fraction:.0f} % of the voxels are below {_AIR}, as in CT; use the MR series"
        )
