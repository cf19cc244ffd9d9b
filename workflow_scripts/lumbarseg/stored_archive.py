"""ZIP archives whose members are stored, not compressed: bundles and networks, which may come from anybody.

Nothing here takes more memory or disk space than the file itself, whatever sizes it states, and no name in it becomes a path.
This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import hashlib
import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_TEXT = 4 << 20
"""Bytes of the largest member that is read as text, such as a manifest."""

_CHUNK = 1 << 22  # bytes read at a time
_LOCAL = struct.Struct("<4s5H3L2H")  # a member's own header, of which the sizes are fields 7 and 8
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_IN_EXTRA = 0xFFFFFFFF  # of a size beyond 4 GiB, which stands elsewhere
# What zipfile raises for damaged archives and for methods it does not know.
_UNREADABLE = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError, EOFError, KeyError, struct.error,
)  # fmt: skip


class StoredArchive:
    """An opened archive; see `opened_archive`.

    Attributes:
        names: its members, each once.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = archive.namelist()

    def size(self, name: str) -> int:
        """Return the bytes of a member."""
        return self._archive.getinfo(name).file_size

    def read(self, name: str, most: int = MOST_TEXT) -> bytes:
        """Read a member.

        Raises:
            zipfile.BadZipFile: it is not there, damaged, or has more than `most` bytes.
        """
        if name not in self.names:
            raise zipfile.BadZipFile(f"no {name}")
        if self.size(name) > most:
            raise zipfile.BadZipFile(f"{name} has {self.size(name)} bytes, more than {most}")
        return b"".join(self._chunks(name))

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a member as 64 hexadecimal digits.

        Raises:
            zipfile.BadZipFile: it is damaged.
        """
        checksum = hashlib.sha256()
        for chunk in self._chunks(name):
            checksum.update(chunk)
        return checksum.hexdigest()

    def copy(self, name: str, target: Path) -> str:
        """Write a member to a file, and return its SHA-256.

        Raises:
            zipfile.BadZipFile: it is damaged.
        """
        checksum = hashlib.sha256()
        with target.open("wb") as file:
            for chunk in self._chunks(name):
                checksum.update(chunk)
                file.write(chunk)
        return checksum.hexdigest()

    def _chunks(self, name: str) -> Iterator[bytes]:
        try:
            with self._archive.open(name) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except _UNREADABLE as error:
            raise zipfile.BadZipFile(f"{name} is damaged") from error


@contextmanager
def opened_archive(path: Path) -> Iterator[StoredArchive]:
    """Open an archive and check how it is laid out, before any member is read.

    Raises:
        zipfile.BadZipFile: the file is no archive, or damaged; a member is compressed or encrypted, is there twice, or states
            sizes that disagree with each other or with the file.
        OSError: the file cannot be read.
    """
    with _BoundedFile(path) as file:
        try:
            archive = zipfile.ZipFile(file)  # type: ignore[type-var]
            _require_stored(archive, file)
        except _UNREADABLE as error:
            raise error if type(error) is zipfile.BadZipFile else zipfile.BadZipFile("damaged archive") from error
        with archive:
            yield StoredArchive(archive)


class _BoundedFile(io.FileIO):
    """A file of which no more than `_CHUNK` bytes are read at a time, whatever an archive's directory says of its own size."""

    def read(self, size: int | None = -1, /) -> bytes:  # type: ignore[override]
        """Read bytes, all that are left for -1."""
        found = super().read(_CHUNK + 1 if size is None or not 0 <= size <= _CHUNK else size)
        if len(found) > _CHUNK:
            raise zipfile.BadZipFile("the directory of the archive is too large")
        return found


def _require_stored(archive: zipfile.ZipFile, file: io.FileIO) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise zipfile.BadZipFile("a file is in it twice")
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise zipfile.BadZipFile("encrypted files")
        if member.compress_type != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile("compressed files, where all are stored")
        file.seek(member.header_offset)
        header = _LOCAL.unpack(file.read(_LOCAL.size))
        stated = {member.file_size, member.compress_size}
        if not header[2] & _SIZES_FOLLOW:
            stated |= {size for size in header[7:9] if size != _IN_EXTRA}
        if len(stated) > 1 or header[3] != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile("sizes that disagree")
    # Members may not overlap, so that all together are no larger than the file.
    if sum(member.file_size for member in members) > file.seek(0, io.SEEK_END):
        raise zipfile.BadZipFile("sizes beyond the end of the file")
