"""What can be segmented at all: one patient's MR, told before networks are loaded; conversion sees to the rest."""

from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_series import find_series

# What CT is told by: a good part of the picture is air, far below zero in Hounsfield's units. MR has no such values.
_AIR, _PART_OF_AIR = -500, 0.02


def require_one_patient(sources: Mapping[str, Path]) -> None:
    """Require that DICOM folders hold the images of one patient; files of other kinds do not say whose they are.

    Args:
        sources: by contrast, a DICOM folder or an image file.

    Raises:
        InputError: two patients, or a folder that cannot be used.
    """
    patients = {
        contrast: find_series(source)[0].slices[0].patient for contrast, source in sources.items() if source.is_dir()
    }
    if len(set(patients.values())) > 1:
        named = " and ".join(f"{contrast} in {sources[contrast]}" for contrast in patients)
        raise InputError(
            f"{named}: expected the images of one patient, found those of {len(set(patients.values()))}; give both contrasts of "
            "one session"
        )


def require_mr(image: nib.Nifti1Image, source: str | Path) -> None:
    """Require an image that can be MR; of DICOM files that was found out in the conversion.

    Args:
        image: as converted.
        source: what to call it in the message.

    Raises:
        InputError: a CT.
    """
    part = float(np.mean(np.asanyarray(image.dataobj) < _AIR))
    if part > _PART_OF_AIR:
        raise InputError(
            f"{source}: expected an MR image, found {100 * part:.0f} % of the voxels below {_AIR}, as in CT; give the MR series"
        )
