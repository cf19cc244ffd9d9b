"""Which MR series lie in a folder of DICOM files, and whether a series is one whole stack of slices."""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from lumbarseg.errors import InputError

_MR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
}
# The times of Table 2 with room on either side, milliseconds. T1w by inversion has a long repetition time.
_T2W_SHORTEST_ECHO = 60.0
_T1W_LONGEST_ECHO = 35.0
_T1W_REPETITION = (200.0, 1500.0)
_T1W_SHORTEST_INVERSION = 400.0

# Names are a hint where tags say nothing, and tell a series from its fat-suppressed twin.
_LOCALISER = re.compile(r"(?<![a-z])loc(?![a-z])|scout|survey|localizer|localiser")
_FAT_SUPPRESSED = re.compile(r"stir|spair|dixon|\btirm|fat.?sat|(?<![a-z])fs(?![a-z])")
_OLDEST_TOLD = 89  # years

_ANGLE_TOLERANCE = 1e-3  # of direction cosines within a series
_SAME_PLACE = 0.01  # mm; slices nearer than this are one slice twice
_GAP_TOLERANCE = 1.5  # of the median distance; a missing slice doubles it


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or a frame of a multi-frame file.

    Attributes:
        file: where it is.
        series: its series and echo, the same for all slices of one volume.
        number: series number, to name it to the user.
        patient: what tells patients apart; never shown.
        orientation: direction cosines of rows and columns, (6,).
        position: centre of the first pixel, mm (LPS), (3,).
        repetition_time: ms, NaN if not said.
        echo_time: ms, NaN if not said.
        inversion_time: ms, NaN without inversion.
        localiser: the scanner calls it a localiser.
        derived: calculated from other images (a reformation, a subtraction).
        fat_suppressed: the scan options or the names say so.
        named: the contrast that the names of series and protocol speak for; a hint, for people type them.
        size: rows and columns.
        demographics: age (years, above 89 as 90), sex and weight (kg) of the patient, as far as the header has them.
    """

    file: Path
    series: tuple[str, float]
    number: str
    patient: tuple[str, str]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    repetition_time: float
    echo_time: float
    inversion_time: float
    localiser: bool
    derived: bool = False
    fat_suppressed: bool = False
    named: Literal["T1w", "T2w"] | None = None
    size: tuple[int, int] = (0, 0)
    demographics: dict[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Series:
    """The slices of one series and echo."""

    slices: tuple[Slice, ...]

    @cached_property
    def files(self) -> list[Path]:
        """Its files, each once, sorted."""
        return sorted({one.file for one in self.slices})

    @property
    def contrast(self) -> Literal["T1w", "T2w"] | None:
        """The contrast that the times speak for, if any."""
        one = self.slices[0]
        inverted = not np.isnan(one.inversion_time)
        if one.echo_time >= _T2W_SHORTEST_ECHO and not inverted:
            return "T2w"
        short_repetition = _T1W_REPETITION[0] <= one.repetition_time <= _T1W_REPETITION[1]
        long_inversion = one.inversion_time >= _T1W_SHORTEST_INVERSION
        if one.echo_time <= _T1W_LONGEST_ECHO and (long_inversion if inverted else short_repetition):
            return "T1w"
        return None

    @property
    def plane(self) -> str:
        """The anatomical plane nearest to the first slice."""
        return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(self._normal)))]

    @property
    def is_sagittal(self) -> bool:
        """Whether all its slices are nearest to the sagittal plane."""
        return self.plane == "sagittal" and self._one_orientation

    @property
    def is_localiser(self) -> bool:
        """Whether the scanner made it to plan others."""
        return any(one.localiser for one in self.slices)

    @property
    def has_times(self) -> bool:
        """Whether its headers say an echo time."""
        return not np.isnan(self.slices[0].echo_time)

    @property
    def described(self) -> dict[str, Any]:
        """What may be written down of it: numbers alone, for names are typed by people."""
        one = self.slices[0]
        times = {
            "repetition_time_ms": one.repetition_time,
            "echo_time_ms": one.echo_time,
            "inversion_time_ms": one.inversion_time,
        }
        return {
            "series_number": one.number,
            "slices": len(self.slices),
            "plane": self.plane if self._one_orientation else "several",
            "rows": one.size[0],
            "columns": one.size[1],
            **{name: None if np.isnan(value) else value for name, value in times.items()},
            "localiser": self.is_localiser,
            "derived": one.derived,
            "fat_suppressed": one.fat_suppressed,
        }

    @property
    def _normal(self) -> np.ndarray:
        row, column = np.reshape(self.slices[0].orientation, (2, 3))
        return np.cross(row, column)

    @property
    def _one_orientation(self) -> bool:
        return bool(np.ptp([one.orientation for one in self.slices], axis=0).max() <= _ANGLE_TOLERANCE)

    def __str__(self) -> str:
        one = self.slices[0]
        plane = self.plane if self._one_orientation else "several planes"
        return (
            f"series {one.number}, {len(self.slices)} slices, {plane}, "
            f"TR {one.repetition_time:g} ms, TE {one.echo_time:g} ms"
        )

    def require_one_stack(self, folder: Path) -> None:
        """Require parallel sagittal slices at equal distances, none twice and none missing between the others.

        Raises:
            InputError: with the files and the distances.
        """
        if not self.is_sagittal:
            raise InputError(
                f"{folder}: expected parallel sagittal slices, found {self}; give the folder of a sagittal series"
            )
        ordered = sorted(self.slices, key=lambda one: float(np.dot(self._normal, one.position)))
        places = np.array([float(np.dot(self._normal, one.position)) for one in ordered])
        gaps = np.diff(places)
        if gaps.size == 0:
            return
        if gaps.min() < _SAME_PLACE:
            first = int(gaps.argmin())
            raise InputError(
                f"{folder}: expected every slice once, found {ordered[first].file.name} and "
                f"{ordered[first + 1].file.name} at the same place; leave one volume in the folder"
            )
        usual = float(np.median(gaps))
        if gaps.max() > _GAP_TOLERANCE * usual:
            first = int(gaps.argmax())
            raise InputError(
                f"{folder}: expected slices {usual:.2f} mm apart, found {gaps[first]:.2f} mm between "
                f"{ordered[first].file.name} and {ordered[first + 1].file.name}; add the missing slice, or export the "
                "series again"
            )


def find_series(folder: Path) -> list[Series]:
    """Find the MR series of one patient in a folder.

    Args:
        folder: searched to its depths; files that are no MR images are passed over.

    Returns:
        Ordered by series number.

    Raises:
        InputError: no MR image, a file that is cut short, or images of more than one patient.
    """
    grouped: dict[tuple[str, float], list[Slice]] = defaultdict(list)
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        for one in _slices(file):
            grouped[one.series].append(one)
    if not grouped:
        raise InputError(f"{folder}: expected DICOM files with MR images, found none; mend the path in the sheet")
    patients = {one.patient for slices in grouped.values() for one in slices}
    if len(patients) > 1:
        raise InputError(
            f"{folder}: expected the images of one patient, found those of {len(patients)}; give each patient a folder"
        )
    series = [Series(tuple(slices)) for slices in grouped.values()]
    return sorted(series, key=lambda one: (one.slices[0].number.zfill(9), one.slices[0].echo_time))


def _slices(file: Path) -> Iterator[Slice]:
    size = file.stat().st_size
    if size == 0:
        raise InputError(f"{file}: expected a DICOM file, found an empty one; copy it again")
    with file.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom on the small irregularities of vendors
        try:
            header = pydicom.dcmread(stream, stop_before_pixels=True)
        except InvalidDicomError:
            return
        except Exception as error:
            raise InputError(
                f"{file}: expected a whole DICOM file, found one that cannot be read ({error}); copy it again"
            ) from error
        stored = size - stream.tell()
        if str(header.file_meta.get("MediaStorageSOPClassUID", header.get("SOPClassUID"))) not in _MR_CLASSES:
            return
        try:
            yield from _frames(file, header)
            syntax = header.file_meta.TransferSyntaxUID
            pixels = int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel", 1))
            needed = pixels * int(header.get("NumberOfFrames") or 1) * int(header.BitsAllocated) // 8
            if syntax.is_compressed:  # how many bytes there should be is not known; dcm2niix finds out
                needed = 0 if syntax.is_deflated else 1
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"{file}: expected a whole MR slice with its place in space, found a header that lacks it ({error}); "
                "copy or export it again"
            ) from error
    if stored < needed:
        raise InputError(f"{file}: expected {needed} bytes of pixels, found {stored}; copy it again")


def _frames(file: Path, header: pydicom.Dataset) -> Iterator[Slice]:
    names = f"{header.get('SeriesDescription', '')} {header.get('ProtocolName', '')}".lower()
    shared = header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    frames = header.get("PerFrameFunctionalGroupsSequence") or [pydicom.Dataset()]
    for frame in frames:
        places = (frame, shared[0])
        echo_time = _number(_find(places, header, "MREchoSequence", "EffectiveEchoTime", "EchoTime"))
        repetition = _find(places, header, "MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime")
        yield Slice(
            file=file,
            series=(str(header.SeriesInstanceUID), -1.0 if np.isnan(echo_time) else round(echo_time, 1)),
            number=str(header.get("SeriesNumber", "") or "?"),
            patient=(
                str(header.get("PatientID", "")).strip(),
                str(header.get("PatientName", "")).strip(" ^").casefold(),
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
            demographics=_demographics(header),
        )


def _named(names: str) -> Literal["T1w", "T2w"] | None:
    t1, t2 = ("t1" in names, "t2" in names)
    return None if t1 == t2 else ("T1w" if t1 else "T2w")


def _demographics(header: pydicom.Dataset) -> dict[str, str]:
    """Age, sex and weight, which Table 1 needs; an age that would be telling is cut to 90, as BIDS advises."""
    demographics = {}
    age = re.fullmatch(r"0*(\d+)([DWMY])", str(header.get("PatientAge", "") or "").strip())
    born, made = (str(header.get(name, "") or "") for name in ("PatientBirthDate", "StudyDate"))
    if age:
        demographics["age"] = int(age[1]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[age[2]]
    elif re.fullmatch(r"\d{8}", born) and re.fullmatch(r"\d{8}", made):
        demographics["age"] = int(made[:4]) - int(born[:4]) - (made[4:] < born[4:])
    if not 0 <= demographics.get("age", 0) <= _OLDEST_TOLD:
        demographics["age"] = _OLDEST_TOLD + 1
    sex, weight = str(header.get("PatientSex", "") or "").strip().upper(), header.get("PatientWeight")
    return {
        **{name: str(value) for name, value in demographics.items()},
        **({"sex": sex} if sex in ("F", "M") else {}),
        **({"weight": f"{float(weight):g}"} if weight and float(weight) > 0 else {}),
    }


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
        raise ValueError(f"{length} coordinates are needed to place it")
    return tuple(float(part) for part in value)
