"""Conversion of scanner files to de-identified NIfTI with a BIDS sidecar (Section 3.1.1).

dcm2niix converts. Missing and broken slices only make it warn, so slices are counted first and compared with its output.
Its de-identification keeps dates and free text, so NIfTI headers are written from scratch and sidecars keep a fixed list
of fields only.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.errors import InputError
from lumbarseg.geometry import codes_of, load_image, sagittal_spacing, sagittal_view, volume
from lumbarseg.imaging.dicom_folder import has_preamble, read_folder
from lumbarseg.imaging.dicom_series import Series
from lumbarseg.imaging.quality_control import brightness_and_noise
from lumbarseg.imaging.same_patient import voxel_digest
from lumbarseg.imaging.series_selection import Choice, choose_series
from lumbarseg.temporary_files import temporary_folder
from lumbarseg.user_files import read_text, user_sidecar

Contrast = Literal["T1w", "T2w"]

# What a sidecar may keep: acquisition parameters, as numbers and short DICOM codes. No dates, no places, no free text
# (people type series and protocol names). Names as in BIDS 1.10.
_NUMBERS = {
    "MagneticFieldStrength", "ImagingFrequency", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle",
    "EchoTrainLength", "EchoNumber", "SliceThickness", "SpacingBetweenSlices", "NumberOfAverages", "PixelBandwidth",
    "PercentPhaseFOV", "PercentSampling", "PhaseEncodingSteps", "AcquisitionMatrixPE", "ReconMatrixPE", "SAR",
    "ParallelReductionFactorInPlane", "PartialFourier", "EchoSpacing", "NumberOfSlices",
}  # fmt: skip
_CODES = {
    "Modality", "Manufacturer", "ManufacturersModelName", "MRAcquisitionType", "ScanningSequence", "SequenceVariant",
    "ScanOptions", "PulseSequenceType", "PatientPosition", "InPlanePhaseEncodingDirectionDICOM",
    "PhaseEncodingAxis", "ConversionSoftware", "ConversionSoftwareVersion",
}  # fmt: skip
_SHORT_CODE = re.compile(r"[\w .+/\\-]{1,64}")
_DATE = re.compile(r"(19|20)\d\d[-./]?[01]\d[-./]?[0-3]\d|\d\d:\d\d")

_OTHER_PLANE = 2.0  # pixels this many times larger in the sagittal plane than across it: slices of another plane
# Warnings of dcm2niix after which its output may be wrong.
_FATAL_WARNINGS = ("missing images?", "interslice distance varies", "slice direction", "single slice - please check")
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
        series, each with the reason), other_files (number of files without MR images) and demographics of the headers
        (age in years, sex, weight in kg); quality, the image's brightness and noise
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
            "demographics": choice.series.slices[0].demographics,
        }
    elif source.exists():
        loaded, fields = load_image(source), _user_sidecar(source)
        _require_sagittal(source, loaded)
    else:
        raise InputError(f"{source}: neither a DICOM folder nor an image; fix the path")
    values = np.asanyarray(loaded.dataobj)
    if values.min() == values.max():
        raise InputError(
            f"{source}: every voxel is {values.flat[0]:g}; export the image again, or remove the session from the sheet"
        )
    with atomic_write(image) as temporary:
        nib.save(_storable(loaded), temporary)
    write_json(sidecar, technical_fields(fields))
    view = sagittal_view(values, loaded.affine)
    brightness, noise = brightness_and_noise(view)
    measured = {"brightness": brightness, "noise": noise}
    return chosen | {
        "quality": {name: None if np.isnan(value) else round(value, 5) for name, value in measured.items()},
        "voxels": voxel_digest(view),
    }


def technical_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Keep the fields of a sidecar that describe the acquisition, and nothing that identifies a person.

    Args:
        fields: a BIDS sidecar, from dcm2niix or a user.

    Returns:
        The known numeric fields and short codes, in their order; text in place of a number and codes that look like a date
        or time are dropped.
    """
    return {name: value for name, value in fields.items() if _may_stay(name, value)}


def _may_stay(name: str, value: Any) -> bool:
    if name in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name in _CODES:
        parts = value if isinstance(value, list) else [value]
        return all(isinstance(part, str) and _SHORT_CODE.fullmatch(part) for part in parts) and not (
            name != "ConversionSoftwareVersion" and any(_DATE.search(part) for part in parts)
        )
    return False


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
    with temporary_folder("dicom") as scratch:
        inbox = scratch / "in"
        inbox.mkdir()
        for number, file in enumerate(chosen.files):
            _provide(file, inbox / f"{number:05d}.dcm")
        try:
            return _by_dcm2niix(folder, chosen, inbox, scratch / "out")
        except InputError as error:
            # It separates slices whose times or directions differ in the last digit. That they are one stack is known here.
            try:
                return _by_dcm2niix(folder, chosen, inbox, scratch / "merged", "-m", "y")
            except InputError:
                differing = _differing_fields(chosen.files)
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
    found = sorted(outbox.glob("*.nii"))
    complaint = next((line for line in output if any(word in line.lower() for word in _FATAL_WARNINGS)), None)
    if run.returncode != 0 or complaint:
        reason = complaint or next((line for line in output if "error" in line.lower()), "it gave no reason")
        raise InputError(
            f"{folder}: dcm2niix could not convert the {len(chosen.slices)} slices: {reason} (exit code {run.returncode}); "
            "export the series again"
        )
    if len(found) != 1:
        raise InputError(
            f"{folder}: dcm2niix made {len(found)} volumes of the {len(chosen.slices)} slices instead of one; use a folder "
            "with this series alone"
        )
    image = load_image(found[0])
    slices = sagittal_view(np.asanyarray(image.dataobj), image.affine).shape[0]
    if slices != len(chosen.slices):
        raise InputError(
            f"{folder}: dcm2niix converted {slices} of the {len(chosen.slices)} slices; export the series again"
        )
    fields = json.loads(found[0].with_suffix(".json").read_text(encoding="utf-8", errors="replace"))
    if "EchoTime" not in fields and any(np.isnan(one.echo_time) for one in chosen.slices) and chosen.has_times:
        # dcm2niix reads the first slice, which may be one without an echo time.
        fields["EchoTime"] = chosen.typical.echo_time / 1000
    return image, fields


def _differing_fields(files: list[Path]) -> list[str]:
    """Return which of the fields by which dcm2niix always separates images differ between files; names, never values."""
    headers = [
        pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=[*_SEPARATING]) for file in files
    ]
    return [name for name in _SEPARATING if len({str(header.get(name, "")) for header in headers}) > 1]


def _provide(file: Path, target: Path) -> None:
    """Link a DICOM file for dcm2niix, which does not read file meta information without the preamble before it."""
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
        except ValueError as error:
            raise InputError(f"{sidecar}: not a JSON sidecar ({error}); fix or remove it") from error
        if not isinstance(fields, dict):
            raise InputError(f"{sidecar}: a JSON {type(fields).__name__} instead of an object; fix or remove it")
    return {"Modality": "MR", "ConversionSoftware": "nibabel", "ConversionSoftwareVersion": nib.__version__} | fields


def _storable(image: nib.Nifti1Image) -> nib.Nifti1Image:
    voxels = np.asanyarray(image.dataobj)
    whole_numbers = np.issubdtype(voxels.dtype, np.integer)
    extremes = (int(voxels.min()), int(voxels.max())) if whole_numbers else ()
    for dtype in (np.int16, np.int32):
        if whole_numbers and all(np.iinfo(dtype).min <= extreme <= np.iinfo(dtype).max for extreme in extremes):
            return volume(voxels.astype(dtype), image.affine, codes_of(image))
    return volume(voxels.astype(np.float32), image.affine, codes_of(image))
