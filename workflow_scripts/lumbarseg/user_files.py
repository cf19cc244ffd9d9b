"""Files as users have them: text in the encoding of their spreadsheet, folders with links, names that are not UTF-8.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import codecs
import os
import re
from pathlib import Path

from lumbarseg.errors import InputError

UNICODE, WINDOWS = "Unicode", "Windows-1252"

# UTF-32 first, because its mark in little endian begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Control characters, but for tabs, line ends and the mark with which DOS ended files.
_NO_TEXT = re.compile(r"[\0-\x08\x0e-\x19\x1b-\x1f]")

# Folders of operating systems and of network storage, which often cannot be read; in lower case.
_SYSTEM_FOLDERS = {
    "lost+found", "system volume information", "$recycle.bin", "recycler", "@eadir", "@recycle", "#recycle", "#snapshot",
    "__macosx",
}  # fmt: skip

_NOT_DOWNLOADED = ".icloud"
_POINTERS = (b"version https://git-lfs", b"/annex/objects/", b".git/annex/objects/")
_LONGEST_POINTER = 2000  # bytes


def read_text(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Read a text file that a person or a spreadsheet has saved.

    UTF-8 and UTF-16 (“Unicode text” of Excel) are read with and without byte order mark. What is neither is read as
    Windows-1252, in which Excel saves tab-separated text in Western Europe and America; letters with accents may then be others
    than those meant, so the caller reports it.

    Args:
        path: the file; it must exist.

    Returns:
        The text with line ends as `\\n`, whatever they are in the file, and without the end mark of DOS; its encoding:
        `UNICODE` or `WINDOWS`.

    Raises:
        InputError: the file cannot be read, is no text, or is in another encoding.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); copy it again or fix its permissions") from error
    text, encoding = _decoded(content)
    if _NO_TEXT.search(content.decode("latin-1") if text is None else text):
        raise InputError(f"{path}: not a text file; save it again as text in UTF-8")
    if text is None:
        raise InputError(f"{path}: text is not in UTF-8, UTF-16 or Windows-1252; save it as UTF-8")
    return _without_end_mark(text.replace("\r\n", "\n").replace("\r", "\n")), encoding


def _without_end_mark(text: str) -> str:
    """Return a text without the marks (`\\x1a`) with which DOS ended and filled files."""
    body = text.rstrip("\x1a\n")
    return text if "\x1a" not in text[len(body) :] else f"{body}\n"


def _decoded(content: bytes) -> tuple[str | None, str]:
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    # Without a mark, UTF-16 is recognised by the zeros next to ASCII letters.
    even, odd = content[:1000:2].count(0), content[1:1000:2].count(0)
    name = marked or ("utf-16-le" if odd > 2 * even else "utf-16-be" if even > 2 * odd else "utf-8")
    for encoding, called in ((name, UNICODE), *([] if marked or name != "utf-8" else [("cp1252", WINDOWS)])):
        try:
            return content.decode(encoding), called
        except UnicodeDecodeError:
            continue
    return None, UNICODE


def user_sidecar(image: Path) -> Path:
    """Return where the JSON sidecar of an image file lies, if there is one."""
    return image.with_name(re.sub(r"(\.nii)?\.\w+$", "", image.name) + ".json")


def is_system_folder(name: str) -> bool:
    """Return whether a folder of this name belongs to the operating system or the network storage, not to the user."""
    return name.lower() in _SYSTEM_FOLDERS


def files_below(folder: Path) -> list[Path]:
    """List the files below a folder, links to folders included.

    Hidden files and folders, and those of the operating system, are left out (`hidden_files_below`). Each folder is entered once,
    however many links lead to it, and no link leads back to a folder that contains it. A link whose target is missing is listed,
    so that a file that was not fetched (git-annex, datalad) is not lost unnoticed.

    Args:
        folder: a folder, or a link to one.

    Returns:
        The files and dangling links, sorted; their names may contain bytes that are not UTF-8.

    Raises:
        InputError: a folder cannot be read.
    """
    return _files_below(folder)[0]


def hidden_files_below(folder: Path) -> list[Path]:
    """List the files that `files_below` leaves out, sorted; those in hidden folders that cannot be read are not."""
    found = []
    for place in _files_below(folder)[1]:
        if place.is_dir() and not place.is_symlink():
            walk = os.walk(place)
            found += [Path(at, name) for at, _, names in walk for name in names]
        else:
            found.append(place)
    return sorted(path for path in found if path.is_file())


def _files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder, and the hidden files and folders, each sorted."""
    found: list[Path] = []
    left_out: list[Path] = []
    pending = [folder]
    entered: set[str] = set()
    top = os.path.realpath(folder)
    while pending:
        # Folders first, links to folders when all else is known: a file then has its shortest path.
        at = next((number for number, place in enumerate(pending) if not place.is_symlink()), 0)
        place = pending.pop(at)
        real = os.path.realpath(place)
        above = place != folder and (top == real or top.startswith(real.rstrip("/") + "/"))
        if real in entered or above:
            continue
        entered.add(real)
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    path = Path(entry.path)
                    hidden = entry.name.startswith(".") and not entry.name.endswith(_NOT_DOWNLOADED)
                    if hidden or is_system_folder(entry.name):
                        left_out.append(path)
                    elif path.is_dir():
                        pending.append(path)
                    elif path.is_file() or path.is_symlink():
                        found.append(path)
        except OSError as error:
            raise InputError(
                f"{place}: cannot be read ({error.strerror}); copy it again or fix its permissions"
            ) from error
    return sorted(found), sorted(left_out)


def not_fetched(file: Path, head: bytes) -> str:
    """Return what holds the place of a file whose content was not fetched; empty if it is an ordinary file.

    Args:
        file: the file.
        head: its first 100 bytes or more.
    """
    if file.name.endswith(_NOT_DOWNLOADED):
        return "a placeholder of iCloud"
    head = head.replace(b"\\", b"/")  # as Windows writes paths
    pointer = any(mark in head for mark in _POINTERS) and file.stat().st_size <= _LONGEST_POINTER
    return "a pointer of git-annex or Git LFS" if pointer else ""


def printable(name: str) -> str:
    """Return a text of a user's as one that can be written and drawn on one line.

    Bytes that are not UTF-8 and control characters become escapes such as `\\udce9` and `\\n`.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)


def require_place(folder: str | os.PathLike[str], *, writable: bool = False) -> None:
    """Require that a folder is one or can be made.

    Args:
        folder: need not exist.
        writable: also require permission to write there.

    Raises:
        InputError: a file or a link without its target is in its place, or there is no permission.
    """
    place = Path(folder).absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise InputError(f"{place}: not a folder, but {folder} would be there; move it away, or fix the link")
    if writable and not os.access(place, os.W_OK | os.X_OK):
        raise InputError(
            f"{place}: no permission to write to the folder; ask its owner for it, or run the workflow in a folder of your own"
        )
