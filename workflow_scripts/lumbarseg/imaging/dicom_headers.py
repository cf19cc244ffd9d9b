"""The slices of a DICOM file, read from its header: geometry, times, and plausible age, sex and weight."""

import re
import warnings
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import pydicom

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_series import NO_SPACING, Slice

_MR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
}

# Series names are used only where tags are missing, and to recognise localisers and fat suppression.
_LOCALISER = re.compile(r"(?<![a-z])loc(?![a-z])|scout|survey|localizer|localiser")
_FAT_SUPPRESSED = re.compile(r"stir|spair|dixon|\btirm|fat.?sat|(?<![a-z])fs(?![a-z])")

_NAME_PART = re.compile(r"[^\s^=,.;_-]+")  # of PatientName, whose separators vary between programs

_OLDEST_REPORTED = 89  # years; higher ages are reported as 90
_OLDEST = 120  # years; higher ages are impossible
_HEAVIEST = 650.0  # kg; more is impossible
_FIRST_MR_YEAR = 1980  # an earlier study date is a dummy
# Written by anonymisers and by the null dates of databases and spreadsheets.
_DUMMY_BIRTH_DATES = {date(1900, 1, 1), date(1899, 12, 30), date(1899, 12, 31)}
_FIRST_BIRTH_YEAR = 1850  # an earlier birth date is a dummy; nobody of that age has had MR


class NoHeaderError(InputError):
    """A file that begins like DICOM has no readable header."""


def is_mr(header: pydicom.Dataset) -> bool:
    """Return whether a header is that of an MR image."""
    sop_class = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    return sop_class in _MR_CLASSES if sop_class else header.get("Modality") == "MR"


def read_slices(file: Path) -> Iterator[Slice]:
    """Yield the MR slices of a DICOM file; none if it holds no MR image.

    Raises:
        NoHeaderError: it begins like DICOM, but has no readable header.
        InputError: its header or its pixels are not complete.
    """
    with file.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of small irregularities of vendors
        try:
            header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            sop_class = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
            if not sop_class and "Modality" not in header:
                raise ValueError("its header is cut short")
        except Exception as error:
            raise NoHeaderError(f"{file}: damaged DICOM file ({error}); copy it again") from error
        # reading stopped before tag, type and length of the pixel data
        stored = max(0, file.stat().st_size - stream.tell() - (8 if header.original_encoding[0] else 12))
        if not is_mr(header):
            return
        try:
            yield from _frames(file, header)
            syntax = header.file_meta.get("TransferSyntaxUID")
            pixels = int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel", 1))
            needed = pixels * int(header.get("NumberOfFrames") or 1) * int(header.BitsAllocated) // 8
            if syntax and syntax.is_compressed:  # the expected size is unknown; dcm2niix detects damage
                needed = 0 if syntax.is_deflated else 1
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"{file}: the header lacks what places an MR slice in space ({error}); copy or export it again"
            ) from error
    if stored < needed:
        raise InputError(f"{file}: {stored} bytes of pixels instead of {needed}; copy it again")


def _frames(file: Path, header: pydicom.Dataset) -> Iterator[Slice]:
    names = f"{header.get('SeriesDescription', '')} {header.get('ProtocolName', '')}".lower()
    shared = header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    frames = header.get("PerFrameFunctionalGroupsSequence") or [pydicom.Dataset()]
    for number, frame in enumerate(frames):
        places = (frame, shared[0])
        echo_time = _number(_find(places, header, "MREchoSequence", "EffectiveEchoTime", "EchoTime"))
        spacing = _find(places, header, "PixelMeasuresSequence", *["PixelSpacing"] * 2) or NO_SPACING
        repetition = _find(places, header, "MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime")
        yield Slice(
            file=file,
            series=str(header.SeriesInstanceUID),
            study=str(header.get("StudyInstanceUID", "") or ""),
            number=str(header.get("SeriesNumber", "") or "?"),
            patient=(
                str(header.get("PatientID", "") or "").strip(),
                " ".join(_NAME_PART.findall(str(header.get("PatientName", "") or "").casefold())),
            ),
            orientation=_vector(_find(places, header, "PlaneOrientationSequence", *["ImageOrientationPatient"] * 2), 6),
            position=_vector(_find(places, header, "PlanePositionSequence", *["ImagePositionPatient"] * 2), 3),
            repetition_time=_number(repetition),
            echo_time=echo_time,
            inversion_time=_inversion_time(places, header),
            localiser="LOCALIZER" in str(header.get("ImageType", "")).upper() or bool(_LOCALISER.search(names)),
            derived="DERIVED" in str(header.get("ImageType", "")).upper(),
            fat_suppressed="FS" in str(header.get("ScanOptions", "")) or bool(_FAT_SUPPRESSED.search(names)),
            named=_named(names),
            size=(int(header.Rows), int(header.Columns)),
            pixel_spacing=(float(spacing[0]), float(spacing[1])),
            frame=number,
            demographics=_demographics(header),
        )


def _named(names: str) -> Literal["T1w", "T2w"] | None:
    t1, t2 = ("t1" in names, "t2" in names)
    return None if t1 == t2 else ("T1w" if t1 else "T2w")


def _demographics(header: pydicom.Dataset) -> dict[str, str]:
    """Return age, sex and weight for Table 1, as far as the header has plausible values."""
    age = _age(header)
    sex = str(header.get("PatientSex", "") or "").strip().upper()
    weight = _plain_number(header.get("PatientWeight"))
    return {
        **({"age": str(age)} if age is not None else {}),
        **({"sex": sex} if sex in ("F", "M") else {}),
        **({"weight": f"{weight:g}"} if 0 < weight <= _HEAVIEST else {}),
    }


def _age(header: pydicom.Dataset) -> int | None:
    """Return the age in years from the age or the dates of the header; None where they give no plausible one.

    Ages above 89 are reported as 90, because high ages identify a person (as BIDS advises). Impossible ages and dummy
    dates, which anonymisers write, are unknown.
    """
    stated = re.fullmatch(r"0*(\d+)([DWMY])", str(header.get("PatientAge", "") or "").strip())
    age: int | None = None
    if stated and int(stated[1]) > 0:
        age = int(stated[1]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[stated[2]]
    if age is None or age > _OLDEST:
        born, scanned = birth_date(header.get("PatientBirthDate")), _date(header.get("StudyDate"))
        age = None
        if born and scanned and born < scanned and scanned.year >= _FIRST_MR_YEAR:
            age = scanned.year - born.year - ((scanned.month, scanned.day) < (born.month, born.day))
    if age is None or age > _OLDEST:
        return None
    return min(age, _OLDEST_REPORTED + 1)


def birth_date(value: Any) -> date | None:
    """Return a PatientBirthDate; None for a dummy or what is no date."""
    born = _date(value)
    return None if born is None or born in _DUMMY_BIRTH_DATES or born.year < _FIRST_BIRTH_YEAR else born


def _date(value: Any) -> date | None:
    try:
        return datetime.strptime(str(value or "").strip(), "%Y%m%d").date()
    except ValueError:
        return None


def _plain_number(value: Any) -> float:
    """Return a number, NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _find(places: tuple[pydicom.Dataset, ...], header: pydicom.Dataset, sequence: str, inner: str, outer: str) -> Any:
    for place in places:
        for item in place.get(sequence) or []:
            if item.get(inner) is not None:
                return item.get(inner)
    return header.get(outer)


def _inversion_time(places: tuple[pydicom.Dataset, ...], header: pydicom.Dataset) -> float:
    times = _find(places, header, "MRModifierSequence", "InversionTimes", "InversionTime")
    time = _number(times[0] if isinstance(times, list | pydicom.multival.MultiValue) and times else times)
    if time > 0:
        return time
    inverted = "IR" in str(header.get("ScanningSequence", "")) or (
        _find(places, header, "MRModifierSequence", "InversionRecovery", "InversionRecovery") == "YES"
    )
    return 0.0 if inverted else float("nan")


def _number(value: Any) -> float:
    return float("nan") if value in (None, "") else float(value)


def _vector(value: Any, length: int) -> tuple[float, ...]:
    if value is None or len(value) != length:
        raise ValueError(f"a vector of {length} numbers is missing")
    return tuple(float(part) for part in value)
