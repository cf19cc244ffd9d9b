"""Reading of images, the sagittal view of a volume, and comparison of grids.

World coordinates are those of NIfTI: millimetres, x towards the patient's right (R), y towards anterior (A), z towards
superior (S). ITK's images (MHA, NRRD) use the opposite signs for x and y (LPS) and are converted here.
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
from lumbarseg.image_files import DamagedError, read_nifti, require_intact_itk, require_stated_geometry
from lumbarseg.user_files import not_fetched

NIFTI_ENDINGS = (".nii", ".nii.gz")
ITK_ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")
# what nibabel raises for damaged files: a header that is none, sizes that are negative or beyond the file, broken compression
NIFTI_ERRORS = (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error)

# the directions in which the view's three indices grow: left, inferior, posterior
_SAGITTAL = axcodes2ornt(("L", "I", "P"))
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# largest cosine of the angle between two axes that still count as perpendicular (0.06 degrees, 0.4 mm over 400 mm)
_LARGEST_SHEAR = 1e-3
# mm; what is beyond is no size of a voxel of MR: a damaged header, or micrometres and metres taken for millimetres
_VOXEL_SIZES = (0.01, 100.0)


def sagittal_view(voxels: NDArray[Any], affine: NDArray[np.floating]) -> NDArray[Any]:
    """Return a volume as sagittal slices.

    An oblique volume is reordered along the nearest axes; nothing is resampled. The result may be a view of `voxels`.

    Args:
        voxels: (i, j, k, …) in the order of the file, any dtype.
        affine: 4×4, voxel indices to world millimetres (RAS).

    Returns:
        (slices, rows, columns, …), the same dtype: slices from the patient's right to left, rows from superior to
        inferior, columns from anterior to posterior.
    """
    return apply_orientation(voxels, ornt_transform(io_orientation(affine), _SAGITTAL))


def from_sagittal_view(view: NDArray[Any], affine: NDArray[np.floating]) -> NDArray[Any]:
    """Return a sagittal view to the order of the file: the exact inverse of `sagittal_view`.

    Args:
        view: (slices, rows, columns, …), any dtype.
        affine: 4×4 of the file that the voxels belong to.

    Returns:
        (i, j, k, …), the same dtype.
    """
    return apply_orientation(view, ornt_transform(_SAGITTAL, io_orientation(affine)))


def sagittal_spacing(affine: NDArray[np.floating]) -> tuple[float, float, float]:
    """Return the distances in mm between neighbouring slices, rows and columns of the sagittal view."""
    sizes = nib.affines.voxel_sizes(affine)
    axes = [int(np.flatnonzero(io_orientation(affine)[:, 0] == world)[0]) for world in _SAGITTAL[:, 0]]
    return float(sizes[axes[0]]), float(sizes[axes[1]]), float(sizes[axes[2]])


def nearest_perpendicular(directions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the perpendicular unit vectors nearest to given ones, which rounding in headers may have tilted.

    Args:
        directions: (3, n) unit vectors as columns.

    Returns:
        (3, n) float64.
    """
    left, _, right = np.linalg.svd(directions, full_matrices=False)
    return left @ right


def corner_displacement(shape: tuple[int, ...], affine: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the largest distance in mm between the eight corner voxels of a grid under two affines."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape[:3]))])
    return float(np.linalg.norm(corners @ (affine - other).T, axis=1).max())


def require_same_grid(image: nib.Nifti1Image, mask: nib.Nifti1Image, names: tuple[str, str], tolerance: float) -> None:
    """Require that two images have the same voxels in space, in the same order.

    Args:
        image: the image that defines the grid.
        mask: the image that must lie on this grid.
        names: names of the two for the message, in this order.
        tolerance: largest displacement of a corner voxel, mm.

    Raises:
        InputError: the shapes differ, or a corner voxel lies elsewhere.
    """
    if mask.shape[:3] != image.shape[:3]:
        raise InputError(
            f"{names[1]}: {_times(mask.shape)} voxels, but {names[0]} has {_times(image.shape)}; resample it onto that grid, "
            "or name the file that belongs to it"
        )
    displacement = corner_displacement(image.shape, image.affine, mask.affine)
    if not displacement <= tolerance:
        raise InputError(
            f"{names[1]}: a corner voxel lies {displacement:.3g} mm from that of {names[0]} (limit {tolerance:g} mm); "
            "resample it onto that grid, or name the file that belongs to it"
        )


def load_image(path: str | Path, stage: str | None = None) -> nib.Nifti1Image:
    """Read a whole volume: NIfTI, MHA/MHD or NRRD. The file is verified: checksums if it is compressed, and its size.

    Args:
        path: the file; its ending determines the format.
        stage: the stage of the workflow that writes it, for messages; None for a file of the user.

    Returns:
        A NIfTI image in memory: (i, j, k) voxels, finite, in the file's own order and dtype (floating where the file
        scales its integers), with perpendicular axes and the affine in both sform and qform.

    Raises:
        InputError: the file does not exist or is not readable, is damaged, is not one volume of plain numbers, has no
            position in space or axes that are not perpendicular, or has voxels that are not finite.
    """
    path = Path(path)
    _require_content(path)
    if path.name.lower().endswith(NIFTI_ENDINGS):
        voxels, affine, codes = _read_nifti(path, stage)
    elif path.name.lower().endswith(ITK_ENDINGS):
        voxels, affine, codes = _read_itk(path)
    else:
        raise InputError(
            f"{path}: unknown file type; convert it to one of {', '.join(NIFTI_ENDINGS + ITK_ENDINGS)}, or name the folder "
            "if it is DICOM"
        )
    if voxels.ndim > 3 and voxels.size == np.prod(voxels.shape[:3]):
        voxels = voxels.reshape(voxels.shape[:3])
    if voxels.ndim != 3 or voxels.size == 0:
        raise InputError(f"{path}: {_times(voxels.shape)} voxels are not one 3-D volume; extract one volume")
    return _checked_volume(path, voxels, affine, codes)


def load_layers(path: str | Path) -> list[nib.Nifti1Image]:
    """Read the layers of a segmentation in MHA or NRRD: volumes on one grid, whose segments may overlap.

    Args:
        path: the file, with one number per voxel for each layer.

    Returns:
        An image as of `load_image` for each layer.

    Raises:
        InputError: as for `load_image`.
    """
    path = Path(path)
    _require_content(path)
    voxels, affine, codes = _read_itk(path, layered=True)
    return [_checked_volume(path, voxels[..., layer], affine, codes) for layer in range(voxels.shape[3])]


def header_fields(path: str | Path) -> dict[str, str]:
    """Read the fields of an MHA or NRRD header that are not of the format itself; none if the file is not readable.

    Raises:
        InputError: the name of the file is not UTF-8.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(_name_for_itk(path))
    reader.SetImageIO(_reader_of_itk(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return {}
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def _name_for_itk(path: str | Path) -> str:
    """Return a path as text that ITK accepts: it ends the process at names that are not UTF-8."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{path}: the name is not UTF-8; rename the file or its folder") from None
    return name


def _reader_of_itk(path: str | Path) -> str:
    """Return the name of ITK's reader, which it does not find by endings in capital letters."""
    return "MetaImageIO" if str(path).lower().endswith((".mha", ".mhd")) else "NrrdImageIO"


def _require_content(path: Path) -> None:
    if not path.is_file():
        if path.is_symlink():
            raise InputError(
                f"{path}: the file that the link leads to is missing; fetch it (`git annex get`, `datalad get`) or fix the link"
            )
        raise InputError(f"{path}: file not found; fix the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file; copy it again")
    try:
        with path.open("rb") as stream:
            placeholder = not_fetched(path, stream.read(200))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); copy it again or fix its permissions") from error
    if placeholder:
        raise InputError(
            f"{path}: {placeholder} instead of the file; fetch its content (`git annex get`, `git lfs pull`)"
        )


def _checked_volume(
    path: Path, voxels: NDArray[Any], affine: NDArray[np.floating], codes: tuple[int, int]
) -> nib.Nifti1Image:
    if not (np.issubdtype(voxels.dtype, np.integer) or np.issubdtype(voxels.dtype, np.floating)):
        raise InputError(f"{path}: voxels are {voxels.dtype}, not single numbers; save it as a grey-scale image")
    _require_axes(path, affine)
    if not np.isfinite(voxels).all():
        bad = int(np.count_nonzero(~np.isfinite(voxels)))
        raise InputError(f"{path}: {bad} voxels are NaN or infinite; set them to 0 or export the image again")
    return volume(voxels.astype(voxels.dtype.newbyteorder("="), copy=False), affine, codes)


def read_view(path: str | Path, stage: str) -> tuple[NDArray[Any], tuple[float, float]]:
    """Read an image written by the workflow as slices, for a figure or a comparison of masks.

    Args:
        path: a NIfTI file.
        stage: the stage of the workflow that writes it, for messages.

    Returns:
        The image in sagittal view (slices, rows, columns), and the millimetres between rows and between columns.

    Raises:
        InputError: as for `load_image`.
    """
    image = load_image(path, stage)
    _, between_rows, between_columns = sagittal_spacing(image.affine)
    return sagittal_view(np.asarray(image.dataobj), image.affine), (between_rows, between_columns)


def read_plane(path: str | Path, number: int, stage: str) -> tuple[NDArray[Any], tuple[float, float]]:
    """Read one slice of `read_view`: (rows, columns), and the millimetres between rows and between columns."""
    view, spacing = read_view(path, stage)
    return view[number], spacing


def read_grid(path: str | Path, stage: str) -> tuple[tuple[int, ...], NDArray[np.floating]]:
    """Return shape and affine of a NIfTI file written by the workflow, from its header alone.

    Args:
        path: a NIfTI file.
        stage: the stage of the workflow that writes it, for messages.

    Raises:
        InputError: the header is damaged.
    """
    try:
        image: Any = nib.load(path)
    except NIFTI_ERRORS as error:
        raise _unreadable(Path(path), "NIfTI", error, stage) from error
    return image.shape, image.affine


def volume(voxels: NDArray[Any], affine: NDArray[np.floating], codes: tuple[int, int] = (1, 1)) -> nib.Nifti1Image:
    """Make a NIfTI image with a new header, so that no text of another header can remain in it.

    Args:
        voxels: (i, j, k), any real dtype.
        affine: 4×4, written to sform and qform.
        codes: NIfTI codes of sform and qform (1 scanner, 2 aligned).
    """
    image = nib.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.set_sform(affine, codes[0])
    image.set_qform(affine, codes[1])
    image.header.set_xyzt_units("mm")
    return image


def codes_of(image: nib.Nifti1Image) -> tuple[int, int]:
    """Return the sform and the qform code of an image."""
    return int(image.header["sform_code"]), int(image.header["qform_code"])


def _unreadable(path: Path, kind: str, error: Exception, stage: str | None = None) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    fix = f"delete it and run `snakemake {stage}` again" if stage else getattr(error, "fix", "copy it again")
    return InputError(f"{path}: not a readable {kind} image ({reason}); {fix}")


def _read_nifti(path: Path, stage: str | None) -> tuple[NDArray[Any], NDArray[np.floating], tuple[int, int]]:
    try:
        image, voxels = read_nifti(path)
    except NIFTI_ERRORS as error:
        raise _unreadable(path, "NIfTI", error, stage) from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path}: {type(image).__name__} instead of NIfTI; convert it to NIfTI")
    sform, qform = codes_of(image)
    if not (sform or qform):
        raise InputError(
            f"{path}: no position in space (sform and qform are not set); convert it again from the DICOM files"
        )
    return voxels, np.asarray(image.affine, dtype=np.float64), (sform or qform, qform or sform)


def _read_itk(path: Path, layered: bool = False) -> tuple[NDArray[Any], NDArray[np.floating], tuple[int, int]]:
    name = _name_for_itk(path)
    try:
        require_intact_itk(path)
        require_stated_geometry(path)
        image = sitk.ReadImage(name, imageIO=_reader_of_itk(path))
    except (DamagedError, OSError) as error:
        raise _unreadable(path, "MHA or NRRD", error) from error
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path}: not a readable MHA or NRRD image ({reason}); copy it again") from error
    dimensions = image.GetDimension()
    if dimensions != 3 or (image.GetNumberOfComponentsPerPixel() != 1 and not layered):
        raise InputError(
            f"{path}: {dimensions} dimensions with {image.GetNumberOfComponentsPerPixel()} numbers per voxel are not one "
            "3-D volume; extract one volume"
        )
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    voxels = sitk.GetArrayFromImage(image)
    # A list of one number per voxel is an axis of its own.
    voxels = voxels.reshape(*voxels.shape[:3], -1).transpose(2, 1, 0, 3)
    return voxels if layered else voxels[..., 0], _LPS_TO_RAS @ affine, (1, 1)


def _require_axes(path: Path, affine: NDArray[np.floating]) -> None:
    lengths = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not (lengths > 0).all():
        found = "; ".join(" ".join(f"{part:.3g}" for part in row) for row in affine[:3])
        raise InputError(
            f"{path}: the affine is not finite or lacks an axis ({found}); convert it again from the DICOM files"
        )
    if not (_VOXEL_SIZES[0] <= lengths.min() and lengths.max() <= _VOXEL_SIZES[1]):
        raise InputError(
            f"{path}: voxels of {' × '.join(f'{length:.3g}' for length in lengths)} mm are impossible in MR; convert it again "
            "from the DICOM files, with lengths in mm"
        )
    cosines = (affine[:3, :3] / lengths).T @ (affine[:3, :3] / lengths) - np.eye(3)
    if np.abs(cosines).max() > _LARGEST_SHEAR:
        raise InputError(
            f"{path}: two axes meet at {np.degrees(np.arccos(np.abs(cosines).max())):.2f} degrees, not 90; resample it onto "
            "a grid with perpendicular axes"
        )


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
