"""Verification of image files: checksums of compressed files to their end, and sizes that header and file agree on.

nibabel stops reading before the checksum of gzip, and ITK fills what it cannot decompress with other values, so both read damaged
files without an error. Here, a file is read to its end once, in the same pass where its library allows it.

Sources: RFC 1950 to 1952 (zlib, gzip); the formats of NIfTI-1 and -2, MetaImage and NRRD.
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 20  # bytes
_LONGEST_HEADER = 1 << 20  # bytes, of MHA and NRRD
_MOST_VOXELS = 2**29  # of one file; lumbar MR of 1024 × 1024 × 40 has a twelfth
_LARGEST_RATIO = 1032  # of deflate
_PADDING = 512  # bytes that programs may leave behind the voxels

_ITK_TYPES = {
    "CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4, "LONG_LONG": 8,
    "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip
_NRRD_TYPES = {
    1: ("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"),
    2: ("short", "short int", "signed short", "signed short int", "int16", "int16_t", "ushort", "unsigned short",
        "unsigned short int", "uint16", "uint16_t"),
    4: ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"),
    8: ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t",
        "ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"),
}  # fmt: skip


class DamagedError(ValueError):
    """What is wrong with a file, as a phrase."""


def read_nifti(path: Path) -> tuple[Any, NDArray[Any]]:
    """Read a NIfTI file to its end, the checksum of a compressed one included.

    Args:
        path: `.nii` or `.nii.gz`.

    Returns:
        The image as nibabel loads it, and its voxels in memory; no voxels (an empty array) if it is not NIfTI.

    Raises:
        DamagedError: header and file disagree on the size, or the file holds more than any MR image.
        Exception: whatever nibabel, gzip and zlib raise of damaged files (`geometry.NIFTI_ERRORS`).
    """
    image: Any = nib.load(path)
    if not isinstance(image, nib.Nifti1Image):
        return image, np.empty(0)
    offset = int(cast(Any, image.dataobj).offset)
    count = math.prod(int(size) for size in image.shape)
    end = offset + count * image.get_data_dtype().itemsize
    is_compressed = path.name.endswith(".gz")
    _require_plausible(count, end, path.stat().st_size * (_LARGEST_RATIO if is_compressed else 1))
    with cast(BinaryIO, gzip.open(path)) if is_compressed else path.open("rb") as stream:
        # A copy, because nibabel maps uncompressed files.
        voxels = np.asanyarray(type(image).from_stream(cast(Any, stream)).dataobj).copy()
        stream.seek(end)
        excess = _rest(stream)
    if excess > _PADDING:
        raise DamagedError(f"{excess} bytes behind the {count} voxels that its header describes")
    return image, voxels


def require_intact_itk(path: Path) -> None:
    """Verify the compressed voxels of an MHA or NRRD file, and that header and file agree on their size.

    Files whose voxels are not next to one header in one piece (lists of files, text, skipped lines) are not verified; ITK reads
    them or reports them itself.

    Args:
        path: `.mha`, `.mhd`, `.nrrd` or `.nhdr`.

    Raises:
        DamagedError: they disagree, a checksum differs, or the file holds more than any MR image.
        OSError: the file with the voxels cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_HEADER)
    voxels = _nrrd_voxels(path, head) if head.startswith(b"NRRD") else _meta_voxels(path, head)
    if voxels is None:
        return
    file, offset, count, size, is_compressed = voxels
    available = file.stat().st_size - offset
    _require_plausible(count, size, available * (_LARGEST_RATIO if is_compressed else 1))
    with file.open("rb") as stream:
        stream.seek(offset)
        found = sum(_decompressed(stream, size)) if is_compressed else available
    if found < size or found - size > _PADDING:
        raise DamagedError(f"{found} bytes instead of the {size} that its header describes")


def _require_plausible(count: int, needed: int, available: int) -> None:
    if count > _MOST_VOXELS:
        raise DamagedError(f"its header describes {count} voxels, more than any MR image has")
    if needed > available:
        raise DamagedError(f"its header describes {needed} bytes, more than the file can hold")


def _rest(stream: BinaryIO) -> int:
    """Read a stream to its end, whatever its length, and return the number of bytes."""
    return sum(len(chunk) for chunk in iter(lambda: stream.read(_CHUNK), b""))


def _decompressed(stream: BinaryIO, most: int) -> Iterator[int]:
    """Decompress a zlib or gzip stream and yield the numbers of bytes; their checksum is verified at the end.

    Raises:
        DamagedError: damaged, cut short, or more than `most` bytes and padding.
    """
    decoder = zlib.decompressobj(wbits=47)  # either of the two formats
    total = 0
    try:
        while not decoder.eof:
            pending = decoder.unconsumed_tail or stream.read(_CHUNK)
            if not pending:
                raise DamagedError("compressed voxels are cut short")
            length = len(decoder.decompress(pending, _CHUNK))
            total += length
            if total > most + _PADDING:
                raise DamagedError(f"more than the {most} bytes that its header describes")
            yield length
    except zlib.error as error:
        raise DamagedError(f"compressed voxels are damaged ({error})") from error


def _meta_voxels(path: Path, head: bytes) -> tuple[Path, int, int, int, bool] | None:
    """Return where the voxels of a MetaImage are: file, offset, voxels, bytes, whether compressed; None if not in one piece."""
    found = re.search(rb"(?m)^[ \t]*ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?\n?", head)
    if not found:
        return None
    fields = _fields(head[: found.start()], "=")
    name = found[1].strip().decode("utf-8", "surrogateescape")
    size = _ITK_TYPES.get(fields.get("elementtype", "").upper().removeprefix("MET_").removesuffix("_ARRAY"))
    if size is None or "headersize" in fields or name.upper().startswith("LIST") or "%" in name:
        return None
    try:
        count = math.prod(int(part) for part in fields["dimsize"].split())
        channels = int(fields.get("elementnumberofchannels", "1"))
    except (KeyError, ValueError):
        return None
    is_local = name.upper() == "LOCAL"
    is_compressed = fields.get("compresseddata", "").upper().startswith("T")
    return (
        (path if is_local else path.parent / name),
        found.end() * is_local,
        count,
        count * channels * size,
        is_compressed,
    )


def _nrrd_voxels(path: Path, head: bytes) -> tuple[Path, int, int, int, bool] | None:
    """Return for NRRD what `_meta_voxels` returns for MetaImage."""
    end = re.search(rb"\r?\n\r?\n", head)
    fields = _fields(head[: end.start()] if end else head, ":")
    name = fields.get("data file", fields.get("datafile", ""))
    size = next((size for size, names in _NRRD_TYPES.items() if fields.get("type", "").lower() in names), None)
    encoding = fields.get("encoding", "").lower()
    skipped = {"line skip", "lineskip", "byte skip", "byteskip"} & set(fields)
    if size is None or skipped or name.upper().startswith("LIST") or "%" in name or not (name or end):
        return None
    if encoding not in ("raw", "gzip", "gz"):
        return None
    try:
        count = math.prod(int(part) for part in fields["sizes"].split())
    except (KeyError, ValueError):
        return None
    offset = 0 if name or end is None else end.end()
    return (path.parent / name if name else path), offset, count, count * size, encoding != "raw"


def _fields(head: bytes, separator: str) -> dict[str, str]:
    """Return the fields of a text header, their names in lower case."""
    lines = head.decode("utf-8", "surrogateescape").splitlines()
    pairs = (line.partition(separator) for line in lines if not line.startswith("#"))
    return {name.strip().lower(): value.strip() for name, sign, value in pairs if sign}
