"""The MR series of a folder of DICOM files: which files are slices, of one patient, and none of them lost."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_headers import (
    NoHeaderError,
    OtherObject,
    UnsupportedError,
    is_mr,
    read_header,
    read_slices,
    text_of,
    without_messages_of_pydicom,
)
from lumbarseg.imaging.dicom_series import Series, Slice
from lumbarseg.user_files import files_below, hidden_files_below, not_fetched

_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
# An ending of DICOM files and more behind it, as of archives, unfinished downloads and copies.
_INNER_DICOM_ENDING = re.compile(r"\.(?:dcm|dicom|ima)(?=[^a-z0-9])")
# Of files that accompany slices and are none.
_DOCUMENT_ENDINGS = (
    ".txt", ".pdf", ".json", ".jsonl", ".xml", ".xsl", ".xslt", ".dtd", ".csv", ".tsv", ".html", ".htm", ".xhtml", ".mht", ".md",
    ".log", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".rtf", ".odt", ".ods", ".odp", ".pages", ".numbers", ".key", ".svg",
    ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".mp4", ".avi", ".mov", ".wmv", ".nii", ".nii.gz",
    ".nrrd", ".mha", ".mhd", ".bval", ".bvec", ".ini", ".inf", ".exe", ".dll", ".db", ".py", ".js", ".css", ".ipynb", ".yaml", ".yml", ".toml", ".cfg", ".conf", ".config",
    ".plist", ".webloc", ".url", ".lnk", ".bat", ".cmd", ".sh", ".jar", ".md5", ".sha1", ".sha256", ".sha512", ".m", ".r", ".eml",
)  # fmt: skip
# Of archives of many files, which have a number of their own.
_ARCHIVE_ENDINGS = (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_OTHER_NAMES = {
    "dicomdir", "readme", "license", "licence", "version", "lockfile", "thumbs.db", "desktop.ini", "icon\r",
}  # fmt: skip

_HEAD = 1000  # bytes, by which text is distinguished from other content
_PAGE = re.compile(rb"(?i)\s*(<!doctype html|<html|<head|<body)")
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
    naming = _Naming({one.file for slices in grouped.values() for one in slices})
    _require_no_damaged_slice(no_dicom, naming)
    _require_no_other_class(others, grouped)
    _require_no_hidden_slice(folder, grouped, naming)
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


class _Naming:
    """How slices are named, by which one is recognised that is damaged, packed or not complete.

    Attributes:
        folders: the folders of the slices.
        endings: the endings of their names, in lower case.
    """

    def __init__(self, files: AbstractSet[Path]) -> None:
        self.folders = {file.parent for file in files}
        self.endings = {file.suffix.lower() for file in files}
        self._stems = {(file.parent, _stem(file.name)) for file in files}
        self._patterns = {(file.parent, _pattern(file.name)) for file in files}
        self._stem_patterns = {(folder, _pattern(stem)) for folder, stem in self._stems}
        self._widths = {(folder, _pattern(stem, keep_width=True)) for folder, stem in self._stems}
        # Names of words, or random ones, tell nothing.
        self._lawless = {
            folder
            for folder in self.folders
            if sum(place == folder for place, _ in self._patterns)
            > max(1, sum(one.parent == folder for one in files) / 2)
        }

    def has(self, folder: Path, name: str) -> bool:
        """Return whether a slice of this name, further endings left out, is in the folder."""
        return (folder, _stem(name)) in self._stems

    def is_like(self, folder: Path, name: str) -> bool:
        """Return whether a name is that of a slice but for its numbers."""
        return bool(re.search(r"\d", name)) and (folder, _pattern(name)) in self._patterns

    def is_like_with_ending(self, folder: Path, name: str) -> bool:
        """Return whether a name is that of a slice but for its numbers and for further endings; an archive has as many digits."""
        stem = _stem(name)
        if name.endswith(_ARCHIVE_ENDINGS) and (folder, _pattern(stem, keep_width=True)) not in self._widths:
            return False
        return bool(re.search(r"\d", stem)) and (folder, _pattern(stem)) in self._stem_patterns

    def could_be(self, folder: Path, name: str) -> bool:
        """Return whether a name has what those of slices have: no ending or one of theirs."""
        has_ending = _may_be_slice(Path(name)) or Path(name).suffix.lower() in self.endings
        return folder in self.folders and name not in _OTHER_NAMES and has_ending

    def is_one_of(self, folder: Path, name: str) -> bool:
        """Return whether a file without content could be a slice: by its name, also in another folder, or as one of lawless names."""
        elsewhere = any(pattern == _pattern(name) for _, pattern in self._patterns)
        return elsewhere or (folder in self._lawless and self.could_be(folder, name))


def _require_no_hidden_slice(folder: Path, grouped: Mapping[str, Sequence[Slice]], naming: _Naming) -> None:
    """Reject hidden files that are slices which are missing: by their name, or as DICOM files of a series at a new position.

    macOS writes `._IM0005` beside each file `IM0005` of some file systems; other programs hide what they have not written
    completely, or keep it in a hidden folder.

    Raises:
        InputError: names the file.
    """
    known = {(one.series, one.position) for found in grouped.values() for one in found}
    for file in hidden_files_below(folder):
        name = file.name.casefold()
        if name.startswith("._"):
            # Of macOS, the file is that without the mark.
            name = name.removeprefix("._")
            is_lost = not (file.parent / file.name[2:]).exists() and naming.is_one_of(file.parent, name)
        else:
            name = name.lstrip(".")
            is_lost = (
                naming.is_like(file.parent, name)
                or naming.is_like_with_ending(file.parent, name)
                or (file.parent in naming.folders and bool(_INNER_DICOM_ENDING.search(f"{name} ")))
            )
        is_named = is_lost and bool(name) and not name.startswith(".") and not naming.has(file.parent, name)
        if is_named or _is_new_slice(file, known):
            raise InputError(
                f"{file}: hidden file that may be a slice which is missing; rename it without what hides it, copy the slice again, "
                "or remove the file if it is no slice"
            )


def _is_new_slice(file: Path, known: AbstractSet[tuple[str, tuple[float, ...]]]) -> bool:
    """Return whether a file is a damaged DICOM file, or a slice of a known series at a position where none is."""
    try:
        with file.open("rb") as stream:
            head = stream.read(132)
        if not _begins_like_dicom(head):
            return False
        found = read_slices(file)
    except OSError:
        return False
    except InputError:  # not completely written
        return has_preamble(head)
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


def _require_no_damaged_slice(no_dicom: list[Path], naming: _Naming) -> None:
    """Reject a file that is not DICOM but bears a name like those of the slices in its folder, or has the content of a lost one.

    Such are slices that were damaged, compressed, or not fully downloaded (`IM0005.dcm.gz`, `IM0005.gz`, `IM0005.dcm.part`). A
    file with a further ending may lie next to the slice that it is named after.

    Raises:
        InputError: names the file.
    """
    for file in no_dicom:
        name, folder = file.name.casefold(), file.parent
        is_document = name.endswith(_DOCUMENT_ENDINGS) or name in _OTHER_NAMES
        is_apart = not naming.has(folder, name)
        is_packed = folder in naming.folders and bool(_INNER_DICOM_ENDING.search(name))
        is_named_like = naming.is_like_with_ending(folder, name)
        if not file.stat().st_size and _may_be_slice(file):
            problem = "empty file" if naming.is_one_of(folder, name) else ""
        elif naming.is_like(folder, name) or (is_apart and (is_packed or (not is_document and is_named_like))):
            problem = "not DICOM, though its name is like those of the slices next to it"
        elif folder in naming.folders and is_apart and not is_document:
            problem = _damage(file, naming.could_be(folder, name))
        else:
            problem = ""
        if problem:
            raise InputError(f"{file}: {problem}; copy, fetch or unpack it again, or remove it if it is no slice")


def _damage(file: Path, has_name_of_slice: bool) -> str:
    """Return why a file that is no DICOM file may have been a slice: bytes, or what a server sends in place of it; empty if not."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD).removeprefix(b"\xef\xbb\xbf")
    if _PAGE.match(head) or (has_name_of_slice and head.lstrip()[:1] in (b"<", b"{")):
        return "a page or an answer of a server, which may be in the place of a slice"
    return "neither DICOM nor text, so it may be a damaged slice" if has_name_of_slice and _NO_TEXT.search(head) else ""


def _pattern(name: str, keep_width: bool = False) -> str:
    """Return a file name in lower case with zeros for its numbers."""
    return re.sub(r"\d" if keep_width else r"\d+", "0", name.casefold())


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
        with file.open("rb") as stream, without_messages_of_pydicom():
            try:
                header = read_header(stream, ["SOPClassUID", "Modality", *fields])
                if is_mr(header):
                    found = {name: text_of(header, name) for name in fields}
            except UnsupportedError as error:
                raise InputError(f"{file}: {error}") from None
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
    if not head and file.suffix.lower() in _DICOM_ENDINGS:
        raise InputError(f"{file}: empty file; copy it again, or remove it if it is no slice")
    if _begins_like_dicom(head):
        return True
    if head and _may_be_slice(file) and (not head.strip(b"\0") or file.suffix.lower() in _DICOM_ENDINGS):
        raise InputError(f"{file}: not DICOM, despite its name; copy it again, or remove it if it is no slice")
    return False


def _begins_like_dicom(head: bytes) -> bool:
    # Without preamble, a file begins with an element of the file meta information or of group 0008, little endian.
    return has_preamble(head) or (head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\0")
