"""The MR series of a folder of DICOM files, and the check that a series is one complete stack of slices."""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom

from lumbarseg.errors import InputError
from lumbarseg.user_files import files_below, not_fetched

_MR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
}
# The times of Table 2 with a margin on either side, milliseconds. T1w with inversion has a long repetition time.
_T2W_SHORTEST_ECHO = 60.0
_T1W_LONGEST_ECHO = 35.0
_T1W_REPETITION = (200.0, 1500.0)
_T1W_SHORTEST_INVERSION = 400.0

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

_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
# An ending of DICOM files and more behind it, as of archives, unfinished downloads and copies.
_INNER_DICOM_ENDING = re.compile(r"\.(?:dcm|dicom|ima)(?=[^a-z0-9])")
# Of files that accompany slices and are none.
_DOCUMENT_ENDINGS = (
    ".txt", ".pdf", ".json", ".xml", ".csv", ".tsv", ".html", ".htm", ".md", ".log", ".doc", ".docx", ".xls", ".xlsx", ".rtf",
    ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz", ".ini", ".inf", ".exe", ".dll", ".db", ".py",
)  # fmt: skip
_OTHER_NAMES = {"dicomdir", "readme", "license", "licence", "version", "lockfile", "thumbs.db", "desktop.ini"}

_NO_SPACING = (float("nan"), float("nan"))

_ANGLE_TOLERANCE = 1.5e-3  # of direction cosines within a series, which some headers round to three decimals
_ECHO_TOLERANCE = 0.05  # relative; echo times of one volume may be rounded, or vary by measurement
_SPACING_TOLERANCE = 1e-3  # relative; pixel spacings may be rounded
_SAME_PLACE = 0.01  # mm; slices closer than this are one slice twice
_GAP_TOLERANCE = 1.5  # of the median distance; a missing slice doubles it


class _NoHeaderError(InputError):
    """A file that begins like DICOM has no readable header."""


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or a frame of a multi-frame file.

    Attributes:
        file: the file.
        series: its series.
        number: series number, for messages.
        patient: id and name, to distinguish patients; never written or shown.
        orientation: direction cosines of rows and columns, (6,).
        position: centre of the first pixel, mm (LPS), (3,).
        repetition_time: ms, NaN if missing.
        echo_time: ms, NaN if missing.
        inversion_time: ms, NaN without inversion.
        localiser: whether image type or names say that it is a localiser.
        derived: whether it was calculated from other images (reformatted, subtracted).
        fat_suppressed: whether scan options or names say so.
        named: the contrast in the names of series and protocol; only a hint, because people type them.
        size: rows and columns.
        pixel_spacing: mm between rows and between columns; NaN if missing.
        frame: number of the frame in a multi-frame file, from 0.
        study: its study; never written or shown.
        demographics: age (years, above 89 as 90), sex and weight (kg), as far as the header has plausible values.
    """

    file: Path
    series: str
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
    pixel_spacing: tuple[float, float] = _NO_SPACING
    frame: int = 0
    study: str = ""
    demographics: dict[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Series:
    """The slices of one series and echo.

    Attributes:
        slices: the slices.
        kin: the other echoes of the same DICOM series.
    """

    slices: tuple[Slice, ...]
    kin: tuple["Series", ...] = field(default=(), compare=False)

    @cached_property
    def files(self) -> list[Path]:
        """The files, each once, sorted."""
        return sorted({one.file for one in self.slices})

    @cached_property
    def typical(self) -> Slice:
        """The first of the slices whose headers have most times."""
        return min(self.slices, key=lambda one: int(np.isnan([one.echo_time, one.repetition_time]).sum()))

    @property
    def contrast(self) -> Literal["T1w", "T2w"] | None:
        """The contrast that repetition, echo and inversion times belong to, if any."""
        one = self.typical
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
        """Whether it was acquired to plan other series."""
        return any(one.localiser for one in self.slices)

    @property
    def has_times(self) -> bool:
        """Whether its headers have an echo time."""
        return not np.isnan(self.typical.echo_time)

    @property
    def described(self) -> dict[str, Any]:
        """The series as it may be recorded: numbers and flags only, because names are typed by people."""
        one = self.typical
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

    @property
    def _largest_angle(self) -> float:
        """The largest angle between the normal of a slice and that of the first one, degrees."""
        normals = [np.cross(*np.reshape(one.orientation, (2, 3))) for one in self.slices]
        return float(np.degrees(np.arccos(np.clip(normals @ self._normal, -1, 1))).max())

    @cached_property
    def places(self) -> np.ndarray:
        """Where each slice lies along the normal of the first one, mm."""
        return np.array([float(np.dot(self._normal, one.position)) for one in self.slices])

    def shares_places(self, other: "Series") -> bool:
        """Return whether a slice of each lies at the same position."""
        return bool(np.abs(self.places[:, None] - self._places_of(other)).min() < _SAME_PLACE)

    def could_include(self, other: "Series") -> bool:
        """Return whether slices of another echo are parallel to those of this one, of their size, and at other positions."""
        together = Series((*self.slices, *other.slices))
        sizes = {one.size for one in together.slices}
        return together._one_orientation and len(sizes) == 1 and not self.shares_places(other)

    def _places_of(self, other: "Series") -> np.ndarray:
        return np.array([float(np.dot(self._normal, one.position)) for one in other.slices])

    def unlike_echoes(self, folder: Path, *others: "Series") -> InputError:
        """Return the error of one DICOM series in which slices have other echo times."""
        parts = (self, *others)
        times = [f"{one.typical.echo_time:g} ms in {len(one.slices)}" for one in parts]
        names = [one.files[0].name for one in parts]
        return InputError(
            f"{folder}: the slices of series {self.typical.number} have unlike echo times, {_listed(times)} of them (such as "
            f"{_listed(names)}); export the series again"
        )

    def _continues(self, *others: "Series") -> bool:
        """Return whether the slices of all are one stack at equal distances."""
        together = Series((*self.slices, *(one for other in others for one in other.slices)))
        gaps = np.diff(np.sort(together.places))
        even = gaps.min() >= _SAME_PLACE and gaps.max() <= _GAP_TOLERANCE * np.median(gaps)
        return bool(even and together.is_sagittal)

    def __str__(self) -> str:
        one = self.typical
        plane = self.plane if self._one_orientation else "several planes"
        return (
            f"series {one.number}, {len(self.slices)} slices, {plane}, "
            f"TR {one.repetition_time:g} ms, TE {one.echo_time:g} ms"
        )

    def require_one_stack(self, folder: Path) -> None:
        """Require parallel sagittal slices at equal distances, without duplicates and gaps, with one echo time and pixel size.

        Raises:
            InputError: names the files, distances, angles, echo times and pixel spacings.
        """
        if not self.is_sagittal:
            turned = "" if self._one_orientation else f", turned by up to {self._largest_angle:.2g} degrees"
            raise InputError(
                f"{folder}: not a stack of parallel sagittal slices ({self}{turned}); name the folder of a sagittal series"
            )
        # Another echo has slices at the same positions. Slices between or next to those of the stack belong to it.
        if len(self.kin) > 1 and self._continues(*self.kin):
            raise self.unlike_echoes(folder, *self.kin)
        for other in self.kin:
            if self._continues(other):
                raise self.unlike_echoes(folder, other)
        self._require_one_pixel_spacing(folder)
        ordered = [self.slices[number] for number in np.argsort(self.places, kind="stable")]
        gaps = np.diff(np.sort(self.places))
        if gaps.size == 0:
            return
        if gaps.min() < _SAME_PLACE:
            first = int(gaps.argmin())
            raise InputError(
                f"{folder}: {ordered[first].file.name} and {ordered[first + 1].file.name} lie at the same position; leave one "
                "volume in the folder"
            )
        usual = float(np.median(gaps))
        if gaps.max() > _GAP_TOLERANCE * usual:
            first = int(gaps.argmax())
            raise InputError(
                f"{folder}: {gaps[first]:.2f} mm between {ordered[first].file.name} and {ordered[first + 1].file.name}, where "
                f"slices are {usual:.2f} mm apart; add the missing slice, or export the series again"
            )

    def _require_one_pixel_spacing(self, folder: Path) -> None:
        # Without it, dcm2niix writes pixels of 1 mm or any other size.
        usable = [all(length > 0 for length in one.pixel_spacing) for one in self.slices]
        for one, is_usable in zip(self.slices, usable, strict=True):
            if not is_usable:
                many = ", unlike other slices" if any(usable) else ", like all slices"
                raise InputError(
                    f"{folder}: {one.file.name} has no PixelSpacing above 0{many} of series {one.number}; export the series again"
                )
        usual = np.median([one.pixel_spacing for one in self.slices], axis=0)
        for one in self.slices:
            if not np.allclose(one.pixel_spacing, usual, rtol=_SPACING_TOLERANCE, atol=0):
                found, others = (" × ".join(f"{length:g}" for length in pair) for pair in (one.pixel_spacing, usual))
                raise InputError(
                    f"{folder}: {one.file.name} has pixels of {found} mm, other slices of series {one.number} of {others} mm; export the series "
                    "again"
                )


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([*([", ".join(parts[:-1])] if len(parts) > 1 else []), parts[-1]])


@dataclass(frozen=True)
class FolderContent:
    """What a folder of DICOM files holds.

    Attributes:
        series: the MR series, ordered by series number.
        other_files: number of files that hold no MR image.
    """

    series: list[Series]
    other_files: int


def read_folder(folder: Path) -> FolderContent:
    """Find the MR series of one patient in a folder.

    Files that are clearly something else (Thumbs.db, DICOMDIR, text, PDF, other modalities) are counted and ignored, hidden
    files ignored. A file that may be a slice is never ignored: if it is empty or damaged, or was not fetched (a link without
    its target, a pointer of git-annex or Git LFS), the folder is refused, because a slice lost at the end of a stack leaves no gap.

    Args:
        folder: searched recursively, links to folders included. DICOM files need neither a particular name nor the 128-byte preamble.

    Returns:
        The series and the number of other files.

    Raises:
        InputError: no MR image, a damaged or unreadable file, or images of more than one patient.
    """
    grouped: dict[str, list[Slice]] = defaultdict(list)
    no_dicom: list[Path] = []
    no_image = 0
    for file in files_below(folder):
        if not _is_dicom(file):
            no_dicom.append(file)
            continue
        try:
            slices = list(_slices(file))
        except _NoHeaderError:
            if _may_be_slice(file):
                raise
            no_dicom.append(file)
            continue
        no_image += not slices
        for one in slices:
            grouped[one.series].append(one)
    other_files = len(no_dicom) + no_image
    if not grouped:
        raise InputError(f"{folder}: no DICOM file with an MR image ({other_files} other files); fix the path")
    patients = _patients(one for slices in grouped.values() for one in slices)
    if patients > 1:
        raise InputError(
            f"{folder}: images of {patients} patients in one folder; use a separate folder for each patient"
        )
    _require_no_damaged_slice(no_dicom, grouped.values())
    series = [one for slices in grouped.values() for one in _echoes(slices)]
    return FolderContent(
        sorted(series, key=lambda one: (one.slices[0].number.zfill(9), one.slices[0].echo_time)), other_files
    )


def _patients(slices: Iterable[Slice]) -> int:
    """Return the number of patients. An id or a name that is missing in some slices of a study is that of the others."""
    by_study: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for one in slices:
        by_study[one.study or one.series].add(one.patient)
    patients: set[tuple[str, str]] = set()
    for found in by_study.values():
        ids, names = ({patient[part] for patient in found} - {""} for part in (0, 1))
        if len(ids) <= 1 and len(names) <= 1:
            found = {("".join(ids), "".join(names))}
        patients |= {one for one in found if not any(_is_part_of(one, other) for other in found)}
    return len(patients)


def _is_part_of(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return one != other and all(part in ("", whole) for part, whole in zip(one, other, strict=True))


def _echoes(slices: list[Slice]) -> list[Series]:
    """Separate the slices of a DICOM series into its echoes.

    Echo times of one volume may differ a little between slices (98.8 and 98.80001, 99.94 and 99.96), or be missing in some.
    Such slices are one echo if they are parallel and of one size, and no two of them lie at the same position; otherwise they are
    volumes of their own.
    """
    by_time: dict[float, list[Slice]] = defaultdict(list)
    for one in slices:
        by_time[-1.0 if np.isnan(one.echo_time) else round(one.echo_time, 1)].append(one)
    # Slices without a time are joined last, when it is known whether there are several echoes.
    found: list[Series] = []
    for time in sorted(by_time, key=lambda time: (time < 0, time)):
        group = Series(tuple(by_time[time]))
        near = [
            one
            for one in found
            if (len(found) == 1 if time < 0 else abs(one.slices[-1].echo_time / time - 1) <= _ECHO_TOLERANCE)
            and one.could_include(group)
        ]
        if near:
            found[found.index(near[0])] = Series((*near[0].slices, *group.slices))
        else:
            found.append(group)
    echo_of = {one: number for number, group in enumerate(found) for one in group.slices}
    # In the order of the files, as they came.
    series = [Series(tuple(one for one in slices if echo_of[one] == number)) for number in range(len(found))]
    return [Series(one.slices, tuple(other for other in series if other is not one)) for one in series]


def _require_no_damaged_slice(no_dicom: list[Path], found: Iterable[list[Slice]]) -> None:
    """Reject a file that is not DICOM but bears a name like those of the slices in its folder.

    Such are slices that were damaged, compressed, or not fully downloaded (`IM0005.dcm.gz`, `IM0005.gz`, `IM0005.dcm.part`). A
    file with a further ending may lie next to the slice that it is named after.

    Raises:
        InputError: names the file.
    """
    slices = {one.file for group in found for one in group}
    names = {(file.parent, _without_numbers(file.name)) for file in slices}
    stems = {(file.parent, _stem(file.name)) for file in slices}
    patterns = {(folder, _without_numbers(stem)) for folder, stem in stems}
    folders = {file.parent for file in slices}
    for file in no_dicom:
        name, stem = file.name.casefold(), _stem(file.name)
        like = bool(re.search(r"\d", name)) and (file.parent, _without_numbers(name)) in names
        if not like and (file.parent, stem) not in stems:
            if _INNER_DICOM_ENDING.search(name):
                like = file.parent in folders
            elif not name.endswith(_DOCUMENT_ENDINGS):
                like = bool(re.search(r"\d", stem)) and (file.parent, _without_numbers(stem)) in patterns
        if like:
            raise InputError(
                f"{file}: not DICOM, though its name is like those of the slices next to it; copy, fetch or unpack it again, or "
                "remove it if it is no slice"
            )


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name.casefold())


def _stem(name: str) -> str:
    """Return a file name without the endings after its last number, in lower case."""
    return re.sub(r"(\.[a-z~_][^.]*|\.7z)+$", "", _INNER_DICOM_ENDING.split(name.casefold())[0])


def find_series(folder: Path) -> list[Series]:
    """Return the series of `read_folder`."""
    return read_folder(folder).series


def mr_headers(folder: Path, fields: Sequence[str]) -> Iterator[pydicom.Dataset]:
    """Read some fields of all MR images of a folder, without the checks of `read_folder`.

    Args:
        folder: searched as by `read_folder`.
        fields: keywords of the fields.

    Raises:
        InputError: a file that may be a slice is empty, damaged or not readable.
    """
    for file in files_below(folder):
        if not _is_dicom(file):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                header = pydicom.dcmread(
                    file, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID", "Modality", *fields]
                )
                if _is_mr(header):
                    yield header
            except Exception as error:
                if _may_be_slice(file):
                    raise InputError(f"{file}: damaged DICOM file ({error}); copy it again") from error


def _is_mr(header: pydicom.Dataset) -> bool:
    """Return whether a header is that of an MR image."""
    sop_class = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    return sop_class in _MR_CLASSES if sop_class else header.get("Modality") == "MR"


def _may_be_slice(file: Path) -> bool:
    """Return whether a file's name is one of DICOM slices: no ending, a number, or an ending that DICOM files have."""
    ending = file.suffix.lower()
    return file.name.lower() not in _OTHER_NAMES and (ending in ("", *_DICOM_ENDINGS) or ending[1:].isdigit())


def has_preamble(head: bytes) -> bool:
    """Return whether a file that begins with `head` (132 bytes or more) has the preamble of DICOM files (PS3.10, 7.1)."""
    return head[128:132] == b"DICM"


def _is_dicom(file: Path) -> bool:
    """Return whether a file is DICOM, with or without preamble.

    Raises:
        InputError: the file may be a slice but is empty or damaged, or it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(132)
    except OSError as error:
        fetch = ", or fetch what the link leads to (`git annex get`, `datalad get`)" if file.is_symlink() else ""
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); copy it again or fix its permissions{fetch}"
        ) from error
    if placeholder := not_fetched(file, head):
        raise InputError(
            f"{file}: {placeholder} instead of the file; fetch its content, or remove it if it is no slice"
        )
    if not head and _may_be_slice(file):
        raise InputError(f"{file}: empty file; copy it again, or remove it if it is no slice")
    # Without preamble, a file begins with an element of the file meta information or of group 0008, little endian.
    if has_preamble(head) or (head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\0"):
        return True
    if head and _may_be_slice(file) and (not head.strip(b"\0") or file.suffix.lower() in _DICOM_ENDINGS):
        raise InputError(f"{file}: not DICOM, despite its name; copy it again, or remove it if it is no slice")
    return False


def _slices(file: Path) -> Iterator[Slice]:
    """Yield the MR slices of a DICOM file; none if it holds no MR image.

    Raises:
        _NoHeaderError: it begins like DICOM, but has no readable header.
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
            raise _NoHeaderError(f"{file}: damaged DICOM file ({error}); copy it again") from error
        # reading stopped before tag, type and length of the pixel data
        stored = max(0, file.stat().st_size - stream.tell() - (8 if header.original_encoding[0] else 12))
        if not _is_mr(header):
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
        spacing = _find(places, header, "PixelMeasuresSequence", *["PixelSpacing"] * 2) or _NO_SPACING
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
