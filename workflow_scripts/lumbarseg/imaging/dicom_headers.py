"""The slices of a DICOM file, read from its header: geometry, times, and plausible age, sex and weight.

Messages name fields and never quote values, because any field may hold a name: not of this module, nor those of pydicom, whose
errors are neither shown nor logged.
"""

import logging
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pydicom
from pydicom.filereader import data_element_generator
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_series import NO_SPACING, Slice

_MR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
}

# Objects without pixels: reports, presentation states, waveforms, documents and directories.
_DOCUMENT_CLASSES = (
    "1.2.840.10008.1.3.", *(f"1.2.840.10008.5.1.4.1.1.{kind}." for kind in (88, 11, 9, 104)),
)  # fmt: skip

# What no MR slice exceeds: mm from the isocentre, and ms.
_FARTHEST, _LONGEST_TIME = 1e4, 1e5
_UNIT_TOLERANCE = (
    0.01  # of the length of direction cosines and of their product, which some headers round to three decimals
)

# Series names are used only where tags are missing, and to recognise localisers and fat suppression.
_LOCALISER = re.compile(r"(?<![a-z])loc(?![a-z])|scout|survey|localizer|localiser")
_FAT_SUPPRESSED = re.compile(r"stir|spair|dixon|\btirm|fat.?sat|(?<![a-z])fs(?![a-z])")

_DEFLATED = DeflatedExplicitVRLittleEndian.encode()
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


class HeaderError(ValueError):
    """What is wrong with a header, as a phrase without any of its values."""


class UnsupportedError(HeaderError):
    """What a file has that is not read, although header and pixels may agree: problem and fix, as phrases."""


@dataclass(frozen=True)
class OtherObject:
    """A DICOM file without an MR image.

    Attributes:
        file: the file.
        series: its series; never written or shown.
        has_image: whether it has what a slice has, pixels or a place in space.
        is_document: whether its class is that of objects without pixels.
    """

    file: Path
    series: str
    has_image: bool
    is_document: bool


@contextmanager
def without_messages_of_pydicom() -> Iterator[None]:
    """Silence pydicom, which warns of small irregularities of vendors and quotes what it warns of."""
    logger = logging.getLogger("pydicom")
    was_disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was_disabled


def read_header(stream: BinaryIO, fields: Iterable[str] | None = None) -> pydicom.Dataset:
    """Read a header up to its pixels, where the stream then is, with or without the preamble before it.

    Args:
        stream: a file, at its start.
        fields: keywords of the fields to read; None for all.

    Raises:
        UnsupportedError: the file is deflated, so it could be of any size in memory.
        Exception: whatever pydicom raises of damaged headers.
    """
    stream.seek(132 if stream.read(132)[128:] == b"DICM" else 0)
    for element in data_element_generator(stream, False, True, stop_when=lambda tag, *_: tag.group != 2):
        if element.tag == 0x00020010 and bytes(element.value or b"").strip(b"\0 ") == _DEFLATED:
            raise UnsupportedError("the whole file is deflated; export it again without compression")
    stream.seek(0)
    wanted = None if fields is None else [*fields]
    return pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=wanted)


def text_of(header: pydicom.Dataset, name: str) -> str:
    """Return a field as text without surrounding blanks; empty if it is missing or cannot be read."""
    try:
        value = header.get(name)
        return "" if value is None else str(value).strip()
    except Exception:  # pydicom raises whatever a damaged value leads to
        return ""


def is_mr(header: pydicom.Dataset) -> bool:
    """Return whether a header is that of an MR image."""
    sop_class = _sop_class(header)
    return sop_class in _MR_CLASSES if sop_class else text_of(header, "Modality") == "MR"


def _sop_class(header: pydicom.Dataset) -> str:
    return text_of(header.file_meta, "MediaStorageSOPClassUID") or text_of(header, "SOPClassUID")


def read_slices(file: Path) -> list[Slice] | OtherObject:
    """Read the MR slices of a DICOM file.

    Returns:
        The slices; what the file is if it holds no MR image.

    Raises:
        NoHeaderError: it begins like DICOM, but has no readable header.
        InputError: its header or its pixels are not complete, or its header says what cannot be.
    """
    with file.open("rb") as stream, without_messages_of_pydicom():
        try:
            header = read_header(stream)
            # Converts each value, because damage shows only then.
            if not _sop_class(header) and not text_of(header, "Modality"):
                raise HeaderError("its header is cut short")
        except UnsupportedError as error:
            raise InputError(f"{file}: {error}") from None
        except Exception as error:  # pydicom raises whatever damage leads to
            raise NoHeaderError(f"{file}: damaged DICOM file ({reason_of(error)}); copy it again") from None
        if not is_mr(header):
            return _other_object(file, header)
        available = max(0, file.stat().st_size - stream.tell() - (8 if header.original_encoding[0] else 12))
        try:
            slices = list(_frames(file, header))
        except Exception as error:
            raise InputError(
                f"{file}: the header lacks what places an MR slice in space ({reason_of(error)}); copy or export it again"
            ) from None
        try:
            needed = bytes_of_pixels(header, len(slices))
        except Exception as error:
            raise contradiction(file, error) from None
    if available < needed:
        raise InputError(f"{file}: {available} bytes of pixels instead of {needed}; copy it again")
    return slices


def contradiction(file: Path, error: Exception) -> InputError:
    """Return the error of a file whose pixels are not read, for the user."""
    if isinstance(error, UnsupportedError):
        return InputError(f"{file}: {error}")
    return InputError(f"{file}: header and pixels contradict each other ({reason_of(error)}); copy or export it again")


def reason_of(error: Exception) -> str:
    """Return what is wrong; of errors of libraries only their kind, because their texts quote values."""
    return str(error) if isinstance(error, HeaderError) else type(error).__name__


def _other_object(file: Path, header: pydicom.Dataset) -> OtherObject:
    is_document = _sop_class(header).startswith(_DOCUMENT_CLASSES)
    has_image = any(name in header for name in ("Rows", "ImagePositionPatient"))
    return OtherObject(file, text_of(header, "SeriesInstanceUID"), has_image, is_document)


def bytes_of_pixels(header: pydicom.Dataset, frames: int) -> int:
    """Return how many bytes of pixels the header describes; a lower limit for compressed ones."""
    rows, columns, bits = (count_of(header, name) for name in ("Rows", "Columns", "BitsAllocated"))
    samples = count_of(header, "SamplesPerPixel") if "SamplesPerPixel" in header else 1
    stated = whole_number(header, "NumberOfFrames")
    if text_of(header, "NumberOfFrames") and (stated is None or stated < 1 or stated != frames):
        raise HeaderError("NumberOfFrames is not the number of frames that it describes")
    if is_compressed(header):
        return 1
    return rows * columns * samples * frames * bits // 8


def is_compressed(header: pydicom.Dataset) -> bool:
    """Return whether the pixels are compressed.

    Raises:
        UnsupportedError: the transfer syntax is none of the standard, so it is not known.
    """
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax and (syntax.is_private or not syntax.is_transfer_syntax):
        raise UnsupportedError("its transfer syntax is unknown; export it again without compression")
    return bool(syntax and syntax.is_compressed)


def _frames(file: Path, header: pydicom.Dataset) -> Iterator[Slice]:
    names = f"{text_of(header, 'SeriesDescription')} {text_of(header, 'ProtocolName')}".lower()
    image_type = text_of(header, "ImageType").upper()
    shared = header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    frames = header.get("PerFrameFunctionalGroupsSequence") or [pydicom.Dataset()]
    series = text_of(header, "SeriesInstanceUID")
    if not series:
        raise HeaderError("SeriesInstanceUID is missing")
    number = whole_number(header, "SeriesNumber")
    for frame_number, frame in enumerate(frames):
        places = (frame, shared[0])
        spacing = _find(places, header, "PixelMeasuresSequence", *["PixelSpacing"] * 2)
        yield Slice(
            file=file,
            series=series,
            study=text_of(header, "StudyInstanceUID"),
            number="?" if number is None else str(number),
            patient=(
                text_of(header, "PatientID"),
                " ".join(_NAME_PART.findall(text_of(header, "PatientName").casefold())),
            ),
            orientation=_orientation(
                _find(places, header, "PlaneOrientationSequence", *["ImageOrientationPatient"] * 2)
            ),
            position=_position(_find(places, header, "PlanePositionSequence", *["ImagePositionPatient"] * 2)),
            repetition_time=_time(
                places, header, "MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"
            ),
            echo_time=_time(places, header, "MREchoSequence", "EffectiveEchoTime", "EchoTime"),
            inversion_time=_inversion_time(places, header),
            localiser="LOCALIZER" in image_type or bool(_LOCALISER.search(names)),
            derived="DERIVED" in image_type,
            fat_suppressed="FS" in text_of(header, "ScanOptions") or bool(_FAT_SUPPRESSED.search(names)),
            named=_named(names),
            size=(count_of(header, "Rows"), count_of(header, "Columns")),
            pixel_spacing=_pixel_spacing(spacing),
            frame=frame_number,
            instance=whole_number(header, "InstanceNumber"),
            acquired=whole_number(header, "ImagesInAcquisition"),
            dimensions=_dimensions(frame),
            demographics=_demographics(header),
        )


def _dimensions(frame: pydicom.Dataset) -> tuple[int, ...]:
    """Return the indices by which a frame is sorted; none if it has none."""
    values = _find((frame,), pydicom.Dataset(), "FrameContentSequence", *["DimensionIndexValues"] * 2)
    return () if values is None else tuple(int(value) for value in np.atleast_1d(values))


def whole_number(header: pydicom.Dataset, name: str) -> int | None:
    """Return a field that is a whole number; None if it is missing or anything else."""
    found = re.fullmatch(r"[+-]?\d{1,12}", text_of(header, name))
    return int(found[0]) if found else None


def count_of(header: pydicom.Dataset, name: str) -> int:
    """Return a field that is a whole number above 0.

    Raises:
        HeaderError: it is missing or anything else.
    """
    if name not in header:
        raise HeaderError(f"{name} is missing")
    count = whole_number(header, name)
    if count is None or count < 1:
        raise HeaderError(f"{name} is no number above 0")
    return count


def _named(names: str) -> Literal["T1w", "T2w"] | None:
    t1, t2 = ("t1" in names, "t2" in names)
    return None if t1 == t2 else ("T1w" if t1 else "T2w")


def _demographics(header: pydicom.Dataset) -> dict[str, str]:
    """Return age, sex and weight for Table 1, as far as the header has plausible values."""
    age = _age(header)
    sex = text_of(header, "PatientSex").upper()
    weight = _plain_number(text_of(header, "PatientWeight"))
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
    stated = re.fullmatch(r"0*(\d+)([DWMY])", text_of(header, "PatientAge"))
    age: int | None = None
    if stated and int(stated[1]) > 0:
        age = int(stated[1]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[stated[2]]
    if age is None or age > _OLDEST:
        born, scanned = birth_date(text_of(header, "PatientBirthDate")), _date(text_of(header, "StudyDate"))
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
    """Return a value of the frame, of all frames or of the header; None if it is nowhere.

    Raises:
        HeaderError: the value is not of its type.
    """
    try:
        for place in places:
            for item in place.get(sequence) or []:
                if item.get(inner) is not None:
                    return item.get(inner)
        return header.get(outer)
    except Exception:  # pydicom raises whatever a damaged value leads to
        raise HeaderError(f"{outer} cannot be read") from None


def _time(places: tuple[pydicom.Dataset, ...], header: pydicom.Dataset, sequence: str, inner: str, outer: str) -> float:
    """Return a time in ms; NaN if it is missing or impossible."""
    return _milliseconds(_find(places, header, sequence, inner, outer), outer)


def _milliseconds(value: Any, name: str) -> float:
    if value in (None, ""):
        return float("nan")
    try:
        time = float(value)
    except (TypeError, ValueError, OverflowError):
        raise HeaderError(f"{name} is no number") from None
    return time if 0 <= time <= _LONGEST_TIME else float("nan")


def _inversion_time(places: tuple[pydicom.Dataset, ...], header: pydicom.Dataset) -> float:
    times = _find(places, header, "MRModifierSequence", "InversionTimes", "InversionTime")
    time = _milliseconds(
        times[0] if isinstance(times, list | pydicom.multival.MultiValue) and times else times, "InversionTime"
    )
    if time > 0:
        return time
    inverted = "IR" in text_of(header, "ScanningSequence") or (
        _find(places, header, "MRModifierSequence", "InversionRecovery", "InversionRecovery") == "YES"
    )
    return 0.0 if inverted else float("nan")


def _vector(value: Any, length: int, name: str) -> tuple[float, ...]:
    """Return a vector of finite numbers.

    Raises:
        HeaderError: it is missing, shorter or longer, or holds anything else.
    """
    if value is None or isinstance(value, str) or not isinstance(value, Sequence) or len(value) != length:
        raise HeaderError(f"{name} has not {length} numbers" if value else f"{name} is missing")
    try:
        vector = tuple(float(part) for part in value)
    except (TypeError, ValueError, OverflowError):
        raise HeaderError(f"{name} has not {length} numbers") from None
    if not all(math.isfinite(part) for part in vector):
        raise HeaderError(f"{name} is not finite")
    return vector


def _position(value: Any) -> tuple[float, ...]:
    position = _vector(value, 3, "ImagePositionPatient")
    if max(map(abs, position)) > _FARTHEST:
        raise HeaderError(f"ImagePositionPatient is more than {_FARTHEST / 1000:g} m from the centre of the scanner")
    return position


def _orientation(value: Any) -> tuple[float, ...]:
    orientation = _vector(value, 6, "ImageOrientationPatient")
    directions = np.reshape(orientation, (2, 3))
    if max(map(abs, orientation)) > 2 or np.abs(directions @ directions.T - np.eye(2)).max() > 2 * _UNIT_TOLERANCE:
        raise HeaderError("ImageOrientationPatient is not two perpendicular directions")
    return orientation


def _pixel_spacing(value: Any) -> tuple[float, float]:
    """Return the spacing in mm; NaN if it is missing, which `Series.require_one_stack` reports if it matters."""
    if value is None or value == "" or (isinstance(value, Sequence) and not len(value)):
        return NO_SPACING
    rows, columns = _vector(value, 2, "PixelSpacing")
    return rows, columns
