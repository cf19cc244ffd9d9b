"""From a scanner's files to de-identified NIfTI with a BIDS sidecar (Section 3.1.1).

dcm2niix does the conversion. It forgives missing and broken slices with no more than a warning, so slices are counted
here first and compared with what comes out. Its own de-identification leaves dates and free text, so headers are made
anew and sidecars go through a list of what may stay.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

import dcm2niix
import nibabel as nib
import numpy as np

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.errors import InputError
from lumbarseg.geometry import codes_of, load_image, sagittal_spacing, sagittal_view, volume
from lumbarseg.imaging.dicom_series import find_series
from lumbarseg.imaging.quality_control import brightness_and_noise
from lumbarseg.imaging.series_selection import Choice, choose_series

Contrast = Literal["T1w", "T2w"]

# What a sidecar may keep: how the image was made, in numbers and in the short codes of DICOM. No dates, no places, no
# free text (series and protocol names are typed by people). Names as in BIDS 1.10.
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

_OTHER_PLANE = 2.0  # times coarser in the sagittal plane than across it: the slices lie in another plane
_TREACHEROUS = ("missing images?", "interslice distance varies", "slice direction", "single slice - please check")


def convert(source: str | Path, contrast: Contrast, image: str | Path, sidecar: str | Path) -> dict[str, Any]:
    """Convert one series to a de-identified NIfTI image and a JSON sidecar.

    Args:
        source: a folder of DICOM files, searched to its depths, or a NIfTI, MHA or NRRD file. Of several series in a
            folder, the only sagittal one with the times of this contrast is taken.
        contrast: `T1w` or `T2w`.
        image: the `.nii.gz` to write: voxels in the converter's order, sform and qform set, no text in the header.
        sidecar: the `.json` to write: technical BIDS fields alone (times in seconds); of a file that is no DICOM, those
            in the JSON beside it, if there is one.

    Returns:
        What was chosen: source (dicom or file), and of a folder the series that was taken and those passed over, each
        with the reason; the facts of the patient that the headers tell (age in years, sex, weight in kg); and quality,
        the brightness and noise of the image (`intensity.brightness_and_noise`).

    Raises:
        InputError: nothing to convert, a slice missing, twice or cut short, slices of more than one patient or
            orientation, no series or several that could be meant, the other contrast, or a file that cannot be read.
    """
    source = Path(source)
    chosen: dict[str, Any] = {"source": "file"}
    if source.is_dir():
        choice = choose_series(source, find_series(source), contrast)
        loaded, fields = _from_dicom(source, choice)
        chosen = {"source": "dicom", **choice.described, "demographics": choice.series.slices[0].demographics}
    elif source.exists():
        loaded, fields = load_image(source), _sidecar_beside(source)
        _require_sagittal(source, loaded)
    else:
        raise InputError(
            f"{source}: expected a DICOM folder or an image, found nothing there; mend the path in the sheet"
        )
    values = np.asanyarray(loaded.dataobj)
    if values.min() == values.max():
        raise InputError(
            f"{source}: expected an image, found {values.flat[0]:g} in every voxel; export it again, or take the session out "
            "of the sheet"
        )
    with atomic_write(image) as temporary:
        nib.save(_storable(loaded), temporary)
    write_json(sidecar, technical_fields(fields))
    brightness, noise = brightness_and_noise(sagittal_view(values, loaded.affine))
    measured = {"brightness": brightness, "noise": noise}
    return chosen | {
        "quality": {name: None if np.isnan(value) else round(value, 5) for name, value in measured.items()}
    }


def technical_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Keep of a sidecar what says how the image was made and nothing that says whose it is.

    Args:
        fields: a BIDS sidecar, from dcm2niix or a user.

    Returns:
        The known numeric fields and short codes, in their order; a text in place of a number is dropped, and so is a
        code that looks like a date or a time.
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
    """Refuse an image that is finest across the sagittal plane: its slices lie in another one."""
    between, rows, columns = sagittal_spacing(image.affine)
    if max(rows, columns) >= _OTHER_PLANE * between:
        plane = "axial" if rows > columns else "coronal"
        raise InputError(
            f"{source}: expected sagittal slices, found {plane} ones, {max(rows, columns):.3g} mm apart, with pixels of "
            f"{between:.3g} mm; name the sagittal series in the sheet"
        )


def _from_dicom(folder: Path, choice: Choice) -> tuple[nib.Nifti1Image, dict[str, Any]]:
    chosen = choice.series
    chosen.require_one_stack(folder)
    with tempfile.TemporaryDirectory(prefix="lumbarseg-dicom-") as scratch:
        inbox, outbox = Path(scratch, "in"), Path(scratch, "out")
        inbox.mkdir()
        outbox.mkdir()
        for number, file in enumerate(chosen.files):
            (inbox / f"{number:05d}.dcm").symlink_to(file.resolve())
        # -ba y: no personal fields; -g i: a user's own settings of dcm2niix do not count; the folder has to be last
        command = [
            dcm2niix.bin,
            "-b",
            "y",
            "-ba",
            "y",
            "-g",
            "i",
            "-z",
            "n",
            "-f",
            "image",
            "-o",
            str(outbox),
            str(inbox),
        ]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        said = _in_users_names(run.stdout + run.stderr, inbox, chosen.files)
        found = sorted(outbox.glob("*.nii"))
        complaint = next((line for line in said if any(word in line.lower() for word in _TREACHEROUS)), None)
        if run.returncode != 0 or complaint:
            reason = complaint or next((line for line in said if "error" in line.lower()), "no reason given")
            raise InputError(
                f"{folder}: expected {len(chosen.slices)} whole slices of one volume, found that dcm2niix says: {reason} "
                f"(exit code {run.returncode}); export the series again"
            )
        if len(found) != 1:
            raise InputError(
                f"{folder}: expected one volume of {len(chosen.slices)} slices, found {len(found)} volumes after "
                "conversion; give a folder with this series alone"
            )
        image = load_image(found[0])
        slices = sagittal_view(np.asanyarray(image.dataobj), image.affine).shape[0]
        if slices != len(chosen.slices):
            raise InputError(
                f"{folder}: expected the {len(chosen.slices)} slices of the series, found {slices} after conversion; "
                "export the series again"
            )
        return image, json.loads(found[0].with_suffix(".json").read_text(encoding="utf-8", errors="replace"))


def _in_users_names(said: str, inbox: Path, files: list[Path]) -> list[str]:
    for number, file in enumerate(files):
        said = said.replace(str(inbox / f"{number:05d}.dcm"), str(file))
    return [line.strip() for line in said.splitlines() if line.strip()]


def _sidecar_beside(source: Path) -> dict[str, Any]:
    beside = source.with_name(re.sub(r"(\.nii)?\.\w+$", "", source.name) + ".json")
    fields: Any = {}
    if beside.is_file():
        try:
            fields = json.loads(beside.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{beside}: expected a JSON sidecar, found {error}; mend it or take it away") from error
        if not isinstance(fields, dict):
            raise InputError(
                f"{beside}: expected a JSON object, found {type(fields).__name__}; mend it or take it away"
            )
    return {"Modality": "MR", "ConversionSoftware": "nibabel", "ConversionSoftwareVersion": nib.__version__} | fields


def _storable(image: nib.Nifti1Image) -> nib.Nifti1Image:
    voxels = np.asanyarray(image.dataobj)
    whole_numbers = np.issubdtype(voxels.dtype, np.integer)
    extremes = (int(voxels.min()), int(voxels.max())) if whole_numbers else ()
    for dtype in (np.int16, np.int32):
        if whole_numbers and all(np.iinfo(dtype).min <= extreme <= np.iinfo(dtype).max for extreme in extremes):
            return volume(voxels.astype(dtype), image.affine, codes_of(image))
    return volume(voxels.astype(np.float32), image.affine, codes_of(image))
