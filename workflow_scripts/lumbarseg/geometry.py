"""Where voxels lie: images as they are read, the sagittal view of a volume, and whether two images share one grid.

World coordinates are those of NIfTI: millimetres, x to the patient's left → right positive (R), y to anterior (A), z to
superior (S). ITK's images (MHA, NRRD) count x and y the other way (LPS) and are turned here.
"""

import itertools
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its usual name)
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from lumbarseg.errors import InputError

NIFTI_ENDINGS = (".nii", ".nii.gz")
ITK_ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")

# towards the left, towards inferior, towards posterior: the directions in which the view's three indices grow
_SAGITTAL = axcodes2ornt(("L", "I", "P"))
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# cosine of the angle between two axes of a grid above which they are not perpendicular (0.06 degrees, 0.4 mm over 400 mm)
_LARGEST_SHEAR = 1e-3


def sagittal_view(voxels: NDArray[Any], affine: NDArray[np.floating]) -> NDArray[Any]:
    """Show a volume as sagittal slices.

    An oblique volume is shown along the nearest axes; nothing is resampled. The result may be a view of `voxels`.

    Args:
        voxels: (i, j, k, …) in the order of the file, any dtype.
        affine: 4×4, voxel indices to world millimetres (RAS).

    Returns:
        (slices, rows, columns, …), the same dtype: slices from the patient's right to left, rows from superior to
        inferior, columns from anterior to posterior.
    """
    return apply_orientation(voxels, ornt_transform(io_orientation(affine), _SAGITTAL))


def from_sagittal_view(view: NDArray[Any], affine: NDArray[np.floating]) -> NDArray[Any]:
    """Bring a sagittal view back to the order of the file: the exact inverse of `sagittal_view`.

    Args:
        view: (slices, rows, columns, …), any dtype.
        affine: 4×4 of the file that the voxels go back to.

    Returns:
        (i, j, k, …), the same dtype.
    """
    return apply_orientation(view, ornt_transform(_SAGITTAL, io_orientation(affine)))


def sagittal_spacing(affine: NDArray[np.floating]) -> tuple[float, float, float]:
    """Give the distances in mm between neighbours in the sagittal view: of slices, of rows, of columns."""
    sizes = nib.affines.voxel_sizes(affine)
    axes = [int(np.flatnonzero(io_orientation(affine)[:, 0] == world)[0]) for world in _SAGITTAL[:, 0]]
    return float(sizes[axes[0]]), float(sizes[axes[1]]), float(sizes[axes[2]])


def corner_displacement(shape: tuple[int, ...], affine: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Give the largest distance in mm between the eight corner voxels of a grid under two affines."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape[:3]))])
    return float(np.linalg.norm(corners @ (affine - other).T, axis=1).max())


def require_same_grid(image: nib.Nifti1Image, mask: nib.Nifti1Image, names: tuple[str, str], tolerance: float) -> None:
    """Require that two images have the same voxels in space, in the same order.

    Args:
        image: the one that gives the grid.
        mask: the one that has to lie on it.
        names: how to name the two in the message, in this order.
        tolerance: largest displacement of a corner voxel, mm.

    Raises:
        InputError: another shape, or a corner that lies elsewhere.
    """
    if mask.shape[:3] != image.shape[:3]:
        raise InputError(
            f"{names[1]}: expected the grid of {names[0]}, {_times(image.shape)} voxels, found {_times(mask.shape)}; "
            "resample it onto that grid, or name the file that belongs to it"
        )
    displacement = corner_displacement(image.shape, image.affine, mask.affine)
    if not displacement <= tolerance:
        raise InputError(
            f"{names[1]}: expected the grid of {names[0]} to within {tolerance:g} mm, found a corner voxel "
            f"{displacement:.3g} mm away; resample it onto that grid, or name the file that belongs to it"
        )


def load_image(path: str | Path) -> nib.Nifti1Image:
    """Read a volume whole: NIfTI, MHA/MHD or NRRD.

    Args:
        path: the file; its ending says what it is.

    Returns:
        A NIfTI image in memory: (i, j, k) voxels, finite, in the file's own order and dtype (floating where the file
        scales its integers), with perpendicular axes and the affine in both sform and qform.

    Raises:
        InputError: no such file, not readable, not one volume of plain numbers, no place in space, axes that are not
            perpendicular, or voxels that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected an image, found no such file; mend the path in the sheet")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected an image, found an empty file; copy it again")
    if path.name.endswith(NIFTI_ENDINGS):
        voxels, affine, codes = _read_nifti(path)
    elif path.name.endswith(ITK_ENDINGS):
        voxels, affine, codes = _read_itk(path)
    else:
        raise InputError(
            f"{path}: expected a name that ends in {', '.join(NIFTI_ENDINGS + ITK_ENDINGS)}, found {path.name}; "
            "convert it, or give the folder where it is DICOM"
        )
    if voxels.ndim > 3 and voxels.size == np.prod(voxels.shape[:3]):
        voxels = voxels.reshape(voxels.shape[:3])
    if voxels.ndim != 3 or voxels.size == 0:
        raise InputError(f"{path}: expected one volume, found {_times(voxels.shape)} voxels; take one volume out of it")
    if not (np.issubdtype(voxels.dtype, np.integer) or np.issubdtype(voxels.dtype, np.floating)):
        raise InputError(f"{path}: expected one number a voxel, found {voxels.dtype}; save it as a grey-scale image")
    _require_axes(path, affine)
    if not np.isfinite(voxels).all():
        bad = int(np.count_nonzero(~np.isfinite(voxels)))
        raise InputError(
            f"{path}: expected finite values, found {bad} voxels that are not; set them to 0 or export it again"
        )
    return volume(voxels.astype(voxels.dtype.newbyteorder("="), copy=False), affine, codes)


def read_view(path: str | Path) -> tuple[NDArray[Any], tuple[float, float]]:
    """Read an image of the workflow's own as slices, for a figure or a comparison of masks.

    Args:
        path: a NIfTI file.

    Returns:
        The image in sagittal view (slices, rows, columns), and the millimetres between rows and between columns.
    """
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    _, between_rows, between_columns = sagittal_spacing(image.affine)
    return sagittal_view(np.asarray(image.dataobj), image.affine), (between_rows, between_columns)


def read_plane(path: str | Path, number: int) -> tuple[NDArray[Any], tuple[float, float]]:
    """Read one slice as `read_view` reads all: (rows, columns), and the millimetres between rows and between columns."""
    view, spacing = read_view(path)
    return view[number], spacing


def volume(voxels: NDArray[Any], affine: NDArray[np.floating], codes: tuple[int, int] = (1, 1)) -> nib.Nifti1Image:
    """Make a NIfTI image with a header of its own: nothing of another header's text can be in it.

    Args:
        voxels: (i, j, k), any real dtype.
        affine: 4×4, written to sform and qform.
        codes: what the world is in NIfTI's numbers (1 scanner, 2 aligned), of sform and qform.
    """
    image = nib.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.set_sform(affine, codes[0])
    image.set_qform(affine, codes[1])
    image.header.set_xyzt_units("mm")
    return image


def codes_of(image: nib.Nifti1Image) -> tuple[int, int]:
    """Give the sform and the qform code of an image."""
    return int(image.header["sform_code"]), int(image.header["qform_code"])


def _read_nifti(path: Path) -> tuple[NDArray[Any], NDArray[np.floating], tuple[int, int]]:
    try:
        image: Any = nib.load(path)
        voxels = np.asanyarray(image.dataobj).copy()  # not the file itself, mapped
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path}: expected a NIfTI image, found a file that cannot be read ({error}); copy it again"
        ) from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path}: expected a NIfTI image, found {type(image).__name__}; convert it to NIfTI")
    sform, qform = codes_of(image)
    if not (sform or qform):
        raise InputError(
            f"{path}: expected a place in space (sform or qform), found neither set; convert it anew from the DICOM files"
        )
    return voxels, np.asarray(image.affine, dtype=np.float64), (sform or qform, qform or sform)


def _read_itk(path: Path) -> tuple[NDArray[Any], NDArray[np.floating], tuple[int, int]]:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"{path}: expected an MHA or NRRD image, found a file that cannot be read ({reason}); copy it again"
        ) from error
    dimensions = image.GetDimension()
    if dimensions != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{path}: expected one volume with one number a voxel, found {dimensions} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} numbers; take one volume out of it"
        )
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), _LPS_TO_RAS @ affine, (1, 1)


def _require_axes(path: Path, affine: NDArray[np.floating]) -> None:
    lengths = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not (lengths > 0).all():
        found = "; ".join(" ".join(f"{part:.3g}" for part in row) for row in affine[:3])
        raise InputError(
            f"{path}: expected a finite affine with three axes, found {found}; convert it anew from the DICOM files"
        )
    cosines = (affine[:3, :3] / lengths).T @ (affine[:3, :3] / lengths) - np.eye(3)
    if np.abs(cosines).max() > _LARGEST_SHEAR:
        raise InputError(
            f"{path}: expected perpendicular axes, found two at {np.degrees(np.arccos(np.abs(cosines).max())):.2f} degrees; "
            "resample it onto a straight grid"
        )


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
