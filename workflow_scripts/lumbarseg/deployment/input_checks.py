"""Checks of new images before networks are loaded: one patient, MR, and the patient of results that are replaced.

Conversion checks everything else.
"""

from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, sagittal_view
from lumbarseg.imaging.dicom_folder import find_series
from lumbarseg.imaging.same_patient import voxel_digest

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


def require_same_image(folder: Path, t2w: nib.Nifti1Image) -> None:
    """Require that the results in a folder, which are to be replaced, are those of the same T2w image.

    An image is recognised by its voxels. Where the earlier T2w image is gone, the grid of the labels is compared.

    Args:
        folder: of the results of one patient; may have none.
        t2w: the converted T2w image.

    Raises:
        InputError: the results are of another image, so another patient's could be lost or mixed with these.
    """
    for name in ("t2w.nii.gz", "labels.nii.gz"):
        earlier = folder / name
        if not earlier.is_file():
            continue
        try:
            found = load_image(earlier)
            same = found.shape == t2w.shape and np.allclose(found.affine, t2w.affine, atol=1e-3)
            same = same and (name != "t2w.nii.gz" or _voxels(found) == _voxels(t2w))
        except InputError:
            same = False
        if not same:
            raise InputError(
                f"{earlier}: not of the T2w image that is read, so the results in {folder} may be those of another patient; name "
                "another folder as --output, or remove these results"
            )
        return


def _voxels(image: nib.Nifti1Image) -> str:
    return voxel_digest(sagittal_view(np.asanyarray(image.dataobj), image.affine))
