"""The MR series of a folder of DICOM files: which files are slices, of one patient, and none of them lost."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_headers import (
    NoHeaderError,
    OtherObject,
    is_mr,
    read_slices,
    text_of,
    without_messages_of_pydicom,
)
from lumbarseg.imaging.dicom_series import Series, Slice
from lumbarseg.user_files import files_below, not_fetched

_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
# An ending of DICOM files and more behind it, as of archives, unfinished downloads and copies.
_INNER_DICOM_ENDING = re.compile(r"\.(?:dcm|dicom|ima)(?=[^a-z0-9])")
# Of files that accompany slices and are none.
_DOCUMENT_ENDINGS = (
    ".txt", ".pdf", ".json", ".xml", ".csv", ".tsv", ".html", ".htm", ".md", ".log", ".doc", ".docx", ".xls", ".xlsx", ".rtf",
    ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz", ".ini", ".inf", ".exe", ".dll", ".db", ".py",
)  # fmt: skip
_OTHER_NAMES = {"dicomdir", "readme", "license", "licence", "version", "lockfile", "thumbs.db", "desktop.ini"}

_HEAD = 1000  # bytes, by which text is distinguished from other content
_NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")

_ECHO_TOLERANCE = 0.05  # relative; echo times of one volume may be rounded, or vary by measurement


@dataclass(frozen=True)
class FolderContent:
    """What a folder of DICOM files holds.

    Attributes:
        series: the MR series, ordered by series number.
        other_files: number of files that hold no MR image.
        remarks: what should be checked of these, as sentences.
    """

    series: list[Series]
    other_files: int
    remarks: tuple[str, ...] = ()


def read_folder(folder: Path) -> FolderContent:
    """Find the MR series of one patient in a folder.

    Files that are clearly something else (Thumbs.db, DICOMDIR, text, PDF, other modalities) are counted and ignored, hidden
    files ignored. A file that may be a slice is never ignored: if it is empty or damaged, hidden, of another SOP class, or was not
    fetched (a link without its target, a pointer of git-annex or Git LFS), the folder is refused, because a slice lost at the end of
    a stack leaves no gap.

    Args:
        folder: searched recursively, links to folders included. DICOM files need neither a particular name nor the 128-byte preamble.

    Returns:
        The series and the number of other files.

    Raises:
        InputError: no MR image, a damaged or unreadable file, or images of more than one patient.
    """
    grouped: dict[str, list[Slice]] = defaultdict(list)
    no_dicom: list[Path] = []
    others: list[OtherObject] = []
    for file in files_below(folder):
        if not _is_dicom(file):
            no_dicom.append(file)
            continue
        try:
            found = read_slices(file)
        except NoHeaderError:
            if _may_be_slice(file):
                raise
            no_dicom.append(file)
            continue
        if isinstance(found, OtherObject):
            others.append(found)
            continue
        for one in found:
            grouped[one.series].append(one)
    other_files = len(no_dicom) + len(others)
    if not grouped:
        raise InputError(f"{folder}: no DICOM file with an MR image ({other_files} other files); fix the path")
    patients = _patients(one for slices in grouped.values() for one in slices)
    if patients > 1:
        raise InputError(
            f"{folder}: images of {patients} patients in one folder; use a separate folder for each patient"
        )
    _require_no_damaged_slice(no_dicom, grouped.values())
    _require_no_other_class(others, grouped)
    _require_no_hidden_slice(grouped)
    series = [one for slices in grouped.values() for one in _echoes(slices)]
    return FolderContent(
        sorted(series, key=lambda one: (one.slices[0].number.zfill(9), one.slices[0].echo_time)),
        other_files,
        tuple(_remarks(no_dicom, others, grouped)),
    )


def _remarks(
    no_dicom: Iterable[Path], others: Iterable[OtherObject], grouped: Mapping[str, Sequence[Slice]]
) -> Iterator[str]:
    """Yield a sentence on files next to slices that are neither documents nor files of the system."""
    folders = {one.file.parent for slices in grouped.values() for one in slices}
    images = sum(one.has_image and one.file.parent in folders for one in others)
    unknown = sum(
        file.parent in folders
        and file.name.lower() not in _OTHER_NAMES
        and not file.name.lower().endswith(_DOCUMENT_ENDINGS)
        for file in no_dicom
    )
    if images or unknown:
        yield (
            f"{images + unknown} files next to the slices were passed over ({images} DICOM images of other kinds, {unknown} unknown "
            "files); check that none is a slice"
        )


def _require_no_other_class(others: Iterable[OtherObject], grouped: Mapping[str, Sequence[Slice]]) -> None:
    """Reject an image of a series of MR that is no MR image by its SOP class.

    Raises:
        InputError: names the file.
    """
    for one in others:
        if one.has_image and not one.is_document and one.series in grouped:
            raise InputError(
                f"{one.file}: no MR image by its SOP class, though it belongs to the MR series "
                f"{grouped[one.series][0].number}; export the series again, or remove the file if it is no slice"
            )


def _require_no_hidden_slice(grouped: Mapping[str, Sequence[Slice]]) -> None:
    """Reject hidden files that are slices which are missing: by their name, or as DICOM files of a series at a new position.

    macOS writes `._IM0005` beside each file `IM0005` of some file systems; other programs hide what they have not written completely.

    Raises:
        InputError: names the file.
    """
    slices = [one for found in grouped.values() for one in found]
    files = {one.file for one in slices}
    names = {(file.parent, _without_numbers(file.name)) for file in files}
    stems = {(file.parent, _stem(file.name)) for file in files}
    patterns = {(folder, _without_numbers(stem)) for folder, stem in stems}
    endings = {file.suffix.lower() for file in files}
    known = {(one.series, one.position) for one in slices}
    for folder in {file.parent for file in files}:
        for file in sorted(folder.glob(".*")):
            name = file.name.lstrip(".").casefold()
            # Of macOS, the file is that without the mark.
            name = name.removeprefix("_") if file.name.startswith("._") else name
            if not name or file.is_dir() or (folder, _stem(name)) in stems:
                continue
            stem = (folder, _without_numbers(_stem(name)))
            is_named_like = _may_be_slice(Path(name)) or Path(name).suffix in endings
            if file.name.startswith("._") and ((folder / file.name[2:]).exists() or not is_named_like):
                continue
            like = file.name.startswith("._") or (
                bool(re.search(r"\d", name)) and ((folder, _without_numbers(name)) in names or stem in patterns)
            )
            if like or _INNER_DICOM_ENDING.search(f"{name} ") or _is_new_slice(file, known):
                raise InputError(
                    f"{file}: hidden file like the slices next to it, one of which may be missing; rename it without what its name "
                    "begins with, copy the slice again, or remove the file if it is no slice"
                )


def _is_new_slice(file: Path, known: AbstractSet[tuple[str, tuple[float, ...]]]) -> bool:
    """Return whether a file is a damaged DICOM file, or a slice of a known series at a position where none is."""
    try:
        with file.open("rb") as stream:
            if not has_preamble(stream.read(132)):
                return False
        found = read_slices(file)
    except OSError:
        return False
    except InputError:  # not completely written
        return True
    series = {one for one, _ in known}
    return isinstance(found, list) and any(
        one.series in series and (one.series, one.position) not in known for one in found
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
    endings = {file.suffix.lower() for file in slices}
    for file in no_dicom:
        name, stem = file.name.casefold(), _stem(file.name)
        like = bool(re.search(r"\d", name)) and (file.parent, _without_numbers(name)) in names
        if not like and (file.parent, stem) not in stems:
            if _INNER_DICOM_ENDING.search(name):
                like = file.parent in folders
            elif not name.endswith(_DOCUMENT_ENDINGS):
                like = bool(re.search(r"\d", stem)) and (file.parent, _without_numbers(stem)) in patterns
                like = like or (file.parent in folders and name not in _OTHER_NAMES and _is_like_content(file, endings))
        if like:
            raise InputError(
                f"{file}: not DICOM, though its name is like those of the slices next to it; copy, fetch or unpack it again, or "
                "remove it if it is no slice"
            )


def _is_like_content(file: Path, endings: AbstractSet[str]) -> bool:
    """Return whether a file that is no DICOM file may have been a slice: bytes, or the page of a server in place of a slice.

    Args:
        file: a file without the ending of a document.
        endings: those of the slices in the folder.
    """
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    is_page = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{")
    is_named_like = _may_be_slice(file) or file.suffix.lower() in endings
    return is_page or (is_named_like and bool(_NO_TEXT.search(head) or re.search(r"\d", file.name)))


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name.casefold())


def _stem(name: str) -> str:
    """Return a file name without the endings after its last number, in lower case."""
    return re.sub(r"(\.[a-z~_][^.]*|\.7z)+$", "", _INNER_DICOM_ENDING.split(name.casefold())[0])


def find_series(folder: Path) -> list[Series]:
    """Return the series of `read_folder`."""
    return read_folder(folder).series


def mr_headers(folder: Path, fields: Sequence[str]) -> Iterator[dict[str, str]]:
    """Read some fields of all MR images of a folder as text, without the checks of `read_folder`.

    Args:
        folder: searched as by `read_folder`.
        fields: keywords of the fields.

    Raises:
        InputError: a file that may be a slice is empty, damaged or not readable.
    """
    for file in files_below(folder):
        if not _is_dicom(file):
            continue
        found: dict[str, str] | None = None
        with without_messages_of_pydicom():
            try:
                header = pydicom.dcmread(
                    file, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID", "Modality", *fields]
                )
                if is_mr(header):
                    found = {name: text_of(header, name) for name in fields}
            except Exception as error:  # pydicom raises whatever damage leads to, and quotes values
                if _may_be_slice(file):
                    raise InputError(f"{file}: damaged DICOM file ({type(error).__name__}); copy it again") from None
        if found is not None:
            yield found


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
