"""Conversion of scanner files to de-identified NIfTI with a BIDS sidecar (Section 3.1.1).

dcm2niix converts. Missing and broken slices only make it warn, so slices are counted first and compared with its output.
Its de-identification keeps dates and free text, so NIfTI headers are written from scratch and sidecars keep a fixed list
of fields only (`technical_fields`).
"""

import json
import logging
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.errors import InputError
from lumbarseg.geometry import codes_of, corner_displacement, load_image, sagittal_spacing, sagittal_view, volume
from lumbarseg.imaging.dicom_folder import has_preamble, read_folder
from lumbarseg.imaging.dicom_headers import read_header, text_of, without_messages_of_pydicom
from lumbarseg.imaging.dicom_pixels import require_pixels_as_described, write_frames_in_order
from lumbarseg.imaging.dicom_series import Series
from lumbarseg.imaging.quality_control import brightness_and_noise
from lumbarseg.imaging.same_patient import voxel_digest
from lumbarseg.imaging.series_selection import Choice, choose_series
from lumbarseg.imaging.technical_fields import technical_fields
from lumbarseg.temporary_files import temporary_folder
from lumbarseg.user_files import read_text, user_sidecar

logger = logging.getLogger("lumbarseg")

Contrast = Literal["T1w", "T2w"]

_OTHER_PLANE = 2.0  # pixels this many times larger in the sagittal plane than across it: slices of another plane
# Warnings of dcm2niix after which its output may be wrong.
_FATAL_WARNINGS = ("missing images?", "interslice distance varies", "slice direction", "single slice - please check")
# What all slices of a series have in common, as the converter takes it from one of them.
_OF_PIXELS = (
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation",
)  # fmt: skip
_LARGEST_OFFSET = 0.5  # mm, of a corner between the headers' grid and the converted one; headers round
_SAME_DIRECTION = 0.999  # smallest cosine between an axis of the headers and the converted one
_FLOAT_RANGE = (1e-18, 1e18)  # of values, the squares of which float32 still holds
_SMALLEST_CONTRAST = 1e-4  # of the largest value; float32 has seven digits
_NO_TEXT = {"SOPClassUID", "Modality", "Manufacturer", "ImageType", "PixelData"}  # words of messages, and no names
# Where these differ, dcm2niix makes several images, whatever its options.
_SEPARATING = (
    "Rows", "Columns", "ImageType", "BitsAllocated", "SamplesPerPixel", "SeriesNumber", "Modality", "Manufacturer", "StudyDate",
    "StudyTime",
)  # fmt: skip


def convert(source: str | Path, contrast: Contrast, image: str | Path, sidecar: str | Path) -> dict[str, Any]:
    """Convert one series to a de-identified NIfTI image and a JSON sidecar.

    Args:
        source: a folder of DICOM files, searched recursively, or a NIfTI, MHA or NRRD file. Of several series in a folder,
            the one chosen by `series_selection.choose_series` is converted.
        contrast: `T1w` or `T2w`.
        image: the `.nii.gz` to write: voxels in the converter's order, sform and qform set, no text in the header.
        sidecar: the `.json` to write: technical BIDS fields only (times in seconds); for a file that is not DICOM, those
            of the JSON file next to it, if there is one.

    Returns:
        A record of the conversion: source (dicom or file); for a folder taken, passed_over (the selected and the other
        series, each with the reason), other_files (number of files without MR images), remarks (what should be checked of the
        folder, as sentences, also logged as warnings) and demographics of the headers (age in years, sex, weight in kg); quality, the image's brightness and noise
        (`quality_control.brightness_and_noise`); and voxels, a digest by which the same image is recognised in two sessions
        (`same_patient.voxel_digest`).

    Raises:
        InputError: nothing to convert, a missing, duplicate or truncated slice, slices of several patients or
            orientations, no matching series or several, the other contrast, or an unreadable file.
    """
    source = Path(source)
    chosen: dict[str, Any] = {"source": "file"}
    if source.is_dir():
        content = read_folder(source)
        choice = choose_series(source, content.series, contrast)
        loaded, fields = _from_dicom(source, choice)
        chosen = {
            "source": "dicom",
            **choice.described,
            "other_files": content.other_files,
            "remarks": [*choice.series.remarks, *_remarks_of_scaling(choice.series.files), *content.remarks],
            "demographics": choice.series.slices[0].demographics,
        }
    elif source.exists():
        loaded, fields = load_image(source), _user_sidecar(source)
        _require_sagittal(source, loaded)
    else:
        raise InputError(f"{source}: neither a DICOM folder nor an image; fix the path")
    for remark in chosen.get("remarks", ()):
        logger.warning("%s: %s", source, remark)
    values = np.asanyarray(loaded.dataobj)
    if values.min() == values.max():
        raise InputError(
            f"{source}: every voxel is {values.flat[0]:g}; export the image again, or remove the session from the sheet"
        )
    with atomic_write(image) as temporary:
        nib.save(_storable(source, loaded), temporary)
    write_json(sidecar, technical_fields(fields))
    view = sagittal_view(values, loaded.affine)
    brightness, noise = brightness_and_noise(view)
    measured = {"brightness": brightness, "noise": noise}
    return chosen | {
        "quality": {name: None if np.isnan(value) else round(value, 5) for name, value in measured.items()},
        "voxels": voxel_digest(view),
    }


def _require_sagittal(source: Path, image: nib.Nifti1Image) -> None:
    """Reject an image with its finest resolution across the sagittal plane: its slices lie in another plane."""
    between, rows, columns = sagittal_spacing(image.affine)
    if max(rows, columns) >= _OTHER_PLANE * between:
        plane = "axial" if rows > columns else "coronal"
        raise InputError(
            f"{source}: {plane} slices ({max(rows, columns):.3g} mm apart, pixels of {between:.3g} mm), not sagittal ones; name "
            "the sagittal series in the sheet"
        )


def _from_dicom(folder: Path, choice: Choice) -> tuple[nib.Nifti1Image, dict[str, Any]]:
    chosen = choice.series
    chosen.require_one_stack(folder)
    chosen.require_no_part_in(folder, [other for other, _ in choice.passed_over if other not in chosen.kin])
    for file in chosen.files:
        require_pixels_as_described(file)
    if differing := _differing_fields(chosen.files, _OF_PIXELS):
        raise InputError(
            f"{folder}: the {len(chosen.slices)} slices differ in {', '.join(differing)}; export the series again"
        )
    with temporary_folder("dicom") as scratch:
        inbox = scratch / "in"
        inbox.mkdir()
        for number, file in enumerate(chosen.files):
            _provide(file, inbox / f"{number:05d}.dcm", chosen.frames_to_sort(file))
        try:
            return _by_dcm2niix(folder, chosen, inbox, scratch / "out")
        except InputError as error:
            # It separates slices whose times or directions differ in the last digit. That they are one stack is known here.
            try:
                return _by_dcm2niix(folder, chosen, inbox, scratch / "merged", "-m", "y")
            except InputError:
                differing = _differing_fields(chosen.files, _SEPARATING)
                if not differing:
                    raise error from None
                raise InputError(
                    f"{folder}: the {len(chosen.slices)} slices differ in {', '.join(differing)}, so dcm2niix does not make one "
                    "volume of them; export the series again"
                ) from error


def _by_dcm2niix(
    folder: Path, chosen: Series, inbox: Path, outbox: Path, *more: str
) -> tuple[nib.Nifti1Image, dict[str, Any]]:
    """Convert the slices in `inbox` with dcm2niix; nothing but one complete volume is accepted.

    Raises:
        InputError: dcm2niix failed, warned, or made something else.
    """
    outbox.mkdir()
    # -ba y: no personal fields; -g i: ignore a user's own settings of dcm2niix; the folder must come last
    options = ["-b", "y", "-ba", "y", "-g", "i", "-z", "n", "-f", "image", *more, "-o", str(outbox)]
    command = [dcm2niix.bin, *options, str(inbox)]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    output = _with_original_names(run.stdout + run.stderr, inbox, chosen.files)
    found = sorted(set(outbox.glob("*.nii")) - set(outbox.glob("*_ROI*.nii")))  # without overlays
    complaint = next((line for line in output if any(word in line.lower() for word in _FATAL_WARNINGS)), None)
    if run.returncode != 0 or complaint:
        reason = complaint or next((line for line in output if "error" in line.lower()), "it gave no reason")
        if _quotes_header(reason, chosen.files):
            reason = "its reason quotes a header and is not repeated"
        raise InputError(
            f"{folder}: dcm2niix could not convert the {len(chosen.slices)} slices: {reason} (exit code {run.returncode}); "
            "export the series again"
        )
    if len(found) != 1:
        raise InputError(
            f"{folder}: dcm2niix made {len(found)} volumes of the {len(chosen.slices)} slices instead of one; use a folder "
            "with this series alone"
        )
    try:
        image = load_image(found[0])
    except InputError as error:
        reason = str(error).removeprefix(f"{found[0]}: ").partition(";")[0]
        raise InputError(
            f"{folder}: the volume that dcm2niix made of the {len(chosen.slices)} slices cannot be used ({reason}); export the "
            "series again"
        ) from error
    slices = sagittal_view(np.asanyarray(image.dataobj), image.affine).shape[0]
    if slices != len(chosen.slices):
        raise InputError(
            f"{folder}: dcm2niix converted {slices} of the {len(chosen.slices)} slices; export the series again"
        )
    image = _on_grid_of_headers(folder, chosen, image)
    fields = _sidecar_of_dcm2niix(found[0].with_suffix(".json"))
    if "EchoTime" not in fields and any(np.isnan(one.echo_time) for one in chosen.slices) and chosen.has_times:
        # dcm2niix reads the first slice, which may be one without an echo time.
        fields["EchoTime"] = chosen.typical.echo_time / 1000
    return image, fields


def _differing_fields(files: list[Path], fields: Sequence[str]) -> list[str]:
    """Return which of some fields differ between files; names, never values."""
    values: list[set[str]] = [set() for _ in fields]
    for file in files:
        with file.open("rb") as stream, without_messages_of_pydicom():
            header = read_header(stream, fields)
            for found, name in zip(values, fields, strict=True):
                found.add(text_of(header, name))
    return [name for name, found in zip(fields, values, strict=True) if len(found) > 1]


def _remarks_of_scaling(files: list[Path]) -> list[str]:
    differing = _differing_fields(files, ("RescaleSlope", "RescaleIntercept"))
    return [f"{' and '.join(differing)} differ between the slices; check their brightness"] if differing else []


def _quotes_header(text: str, files: list[Path]) -> bool:
    """Return whether a text holds a word of a header, which may be a name."""
    words = {word.casefold() for word in re.findall(r"[^\W_]{3,}", text)}
    for file in files:
        with file.open("rb") as stream, without_messages_of_pydicom():
            header = read_header(stream)
            names = [element.keyword for element in header.elements() if isinstance(element, pydicom.DataElement)]
            names += [pydicom.datadict.keyword_for_tag(element.tag) for element in header.elements()]
            for name in {*names} - {"", *_NO_TEXT}:
                if any(
                    not word.isdigit() and word.casefold() in words
                    for word in re.findall(r"[^\W_]{3,}", text_of(header, name))
                ):
                    return True
    return False


def _on_grid_of_headers(folder: Path, chosen: Series, image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Return the converted image with its voxels where the positions and pixel spacings of the slices place them.

    dcm2niix takes the distance of the slices in multi-frame files from SpacingBetweenSlices, which may contradict their positions.

    Raises:
        InputError: the image has other rows, columns or directions.
    """
    ordered = [chosen.slices[number] for number in np.argsort(chosen.places, kind="stable")]
    first, last = ordered[0], ordered[-1]
    row, column = np.reshape(first.orientation, (2, 3))
    sizes = (len(ordered), *first.size)
    across = np.subtract(last.position, first.position) / max(1, len(ordered) - 1)
    steps = np.array([across, column * first.pixel_spacing[0], row * first.pixel_spacing[1]]) * (-1, -1, 1)
    if len(ordered) == 1:
        # The distance of a single slice is its thickness.
        steps[0] = np.cross(steps[1], steps[2])
        steps[0] *= nib.affines.voxel_sizes(image.affine).max() / np.linalg.norm(steps[0])
    axes = image.affine[:3, :3]
    cosines = (steps / np.linalg.norm(steps, axis=1, keepdims=True)) @ (axes / np.linalg.norm(axes, axis=0))
    order = np.abs(cosines).argmax(axis=0)
    nearest = cosines[order, range(3)]
    if (
        sorted(order) != [0, 1, 2]
        or np.abs(nearest).min() < _SAME_DIRECTION
        or tuple(np.take(sizes, order)) != tuple(image.shape)
    ):
        raise InputError(
            f"{folder}: the volume that dcm2niix made has other rows, columns or directions than the headers; export the series "
            "again"
        )
    affine = np.eye(4)
    affine[:3, :3] = (steps[order] * np.sign(nearest)[:, None]).T
    affine[:3, 3] = np.multiply(first.position, (-1, -1, 1))
    for axis in np.flatnonzero(nearest < 0):
        affine[:3, 3] -= affine[:3, axis] * (image.shape[axis] - 1)
    if len(ordered) == 1 or corner_displacement(image.shape, image.affine, affine) <= _LARGEST_OFFSET:
        return image
    logger.info("%s: the slices lie where their positions place them; dcm2niix placed them elsewhere", folder)
    return volume(np.asanyarray(image.dataobj), affine, codes_of(image))


def _sidecar_of_dcm2niix(path: Path) -> dict[str, Any]:
    """Read what dcm2niix wrote; nothing of a sidecar that header values have broken."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, OSError, RecursionError):
        return {"Modality": "MR", "ConversionSoftware": "dcm2niix"}
    return fields if isinstance(fields, dict) else {}


def _provide(file: Path, target: Path, order: Sequence[int]) -> None:
    """Link a DICOM file for dcm2niix, or write it with its frames in another order.

    dcm2niix does not read file meta information without the preamble before it, and sorts frames by their dimensions, not by
    their positions.
    """
    if order:
        write_frames_in_order(file, order, target)
        return
    with file.open("rb") as stream:
        head = stream.read(132)
    if not has_preamble(head) and head[:2] == b"\x02\x00":
        target.write_bytes(bytes(128) + b"DICM" + file.read_bytes())
    else:
        target.symlink_to(file.resolve())


def _with_original_names(output: str, inbox: Path, files: list[Path]) -> list[str]:
    for number, file in enumerate(files):
        output = output.replace(str(inbox / f"{number:05d}.dcm"), str(file))
    return [line.strip() for line in output.splitlines() if line.strip()]


def _user_sidecar(source: Path) -> dict[str, Any]:
    sidecar = user_sidecar(source)
    fields: Any = {}
    if sidecar.is_file():
        try:
            fields = json.loads(read_text(sidecar)[0])
        except (ValueError, RecursionError) as error:
            raise InputError(f"{sidecar}: not a JSON sidecar ({error}); fix or remove it") from error
        if not isinstance(fields, dict):
            raise InputError(f"{sidecar}: a JSON {type(fields).__name__} instead of an object; fix or remove it")
    return {"Modality": "MR", "ConversionSoftware": "nibabel", "ConversionSoftwareVersion": nib.__version__} | fields


def _storable(source: Path, image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Return an image in the smallest sufficient dtype.

    Raises:
        InputError: its values are too large or too small for float32 and its squares, or differ too little.
    """
    voxels = np.asanyarray(image.dataobj)
    lowest, highest = voxels.min(), voxels.max()
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if np.issubdtype(voxels.dtype, np.integer) and limits.min <= int(lowest) and int(highest) <= limits.max:
            return volume(voxels.astype(dtype), image.affine, codes_of(image))
    extent, largest = float(highest) - float(lowest), max(abs(float(lowest)), abs(float(highest)))
    if not (_FLOAT_RANGE[0] <= extent <= largest * 2 <= _FLOAT_RANGE[1] and extent >= _SMALLEST_CONTRAST * largest):
        raise InputError(
            f"{source}: values from {lowest:g} to {highest:g} cannot be stored as float32; scale them to the range of an MR image"
        )
    return volume(voxels.astype(np.float32), image.affine, codes_of(image))
