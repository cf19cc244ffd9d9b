"""Verification of image files: checksums of compressed files to their end, and sizes that header and file agree on.

nibabel stops reading before the checksum of gzip, and ITK fills what it cannot decompress with other values, so both read damaged
files without an error. Here, a file is read to its end once, in the same pass where its library allows it.

Sources: RFC 1950 to 1952 (zlib, gzip); the formats of NIfTI-1 and -2, MetaImage and NRRD.
"""

import gzip
import math
import re
import zlib
from collections.abc import Mapping
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
_BLOCK = 4096  # bytes, to a multiple of which some programs fill files

_GZIP = b"\x1f\x8b"  # with which a member begins

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


# The spaces of NRRD whose axes are those of the patient; in other spaces, nobody knows where the patient's left is.
_PATIENT_SPACES = {
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las",
}  # fmt: skip


class DamagedError(ValueError):
    """What is wrong with a file, as a phrase, and what the user can do, as another."""

    def __init__(self, problem: str, fix: str = "copy it again") -> None:
        """Keep the phrases."""
        super().__init__(problem)
        self.fix = fix


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
    is_compressed = path.name.lower().endswith(".gz")
    _require_plausible(count, end, path.stat().st_size * (_LARGEST_RATIO if is_compressed else 1))
    with cast(BinaryIO, gzip.open(path)) if is_compressed else path.open("rb") as stream:
        # A copy, because nibabel maps uncompressed files.
        voxels = np.asanyarray(type(image).from_stream(cast(Any, stream)).dataobj).copy()
        stream.seek(end)
        excess = _rest(stream)
    if not _is_padding(excess, end + excess):
        raise DamagedError(f"{excess} bytes behind the {count} voxels that its header describes")
    return image, voxels


def require_intact_itk(path: Path) -> None:
    """Verify the compressed voxels of an MHA or NRRD file, and that header and file agree on their size.

    Files that are not compressed and whose voxels are not next to one header in one piece (lists of files, text, skipped lines) are
    not verified; ITK reads them or reports them itself.

    Args:
        path: `.mha`, `.mhd`, `.nrrd` or `.nhdr`.

    Raises:
        DamagedError: they disagree, a checksum differs, the file holds more than any MR image, or the header does not state where
            the compressed voxels are.
        OSError: the file with the voxels cannot be read.
    """
    is_nrrd, fields, end = _header(path)
    voxels = _nrrd_voxels(path, fields, end) if is_nrrd else _meta_voxels(path, fields, end)
    if voxels is None:
        is_cut = end is None and "datafile" not in fields
        if is_cut or _is_compressed(fields, is_nrrd):
            raise DamagedError("its voxels cannot be verified", "save it again as NIfTI")
        return
    file, offset, count, size = voxels
    available = file.stat().st_size - offset
    is_compressed = _is_compressed(fields, is_nrrd)
    _require_plausible(count, size, available * (_LARGEST_RATIO if is_compressed else 1))
    found, consumed = available, available
    if is_compressed:
        with file.open("rb") as stream:
            stream.seek(offset)
            found, consumed = _decompressed(stream, size, is_nrrd)
    if found < size or not _is_padding(found - size, offset + found):
        raise DamagedError(f"{found} bytes instead of the {size} that its header describes")
    # ITK reads as many compressed bytes as the header states.
    stated = fields.get("compresseddatasize", str(consumed) if file != path else "")
    if is_compressed and not is_nrrd and not (stated.isdecimal() and int(stated) == consumed):
        raise DamagedError(f"CompressedDataSize is not the {consumed} bytes of the compressed voxels")


def require_stated_geometry(path: Path) -> None:
    """Require that an MHA or NRRD header states the distances and directions of its axes, which ITK assumes otherwise.

    Raises:
        DamagedError: it does not, or in a space that is not that of the patient.
    """
    is_nrrd, fields, _ = _header(path)
    fix = "convert it again from the DICOM files"
    if is_nrrd:
        if "spacedirections" not in fields:
            raise DamagedError("its header has no space directions, so its voxels have no size", fix)
        space = fields.get("space", "").lower()
        if space.removesuffix("-time").removesuffix("t") not in _PATIENT_SPACES:
            raise DamagedError("its header names no space of a patient (LPS, RAS or LAS)", fix)
        return
    for names, what in (
        (("elementspacing", "elementsize"), "voxel sizes (ElementSpacing)"),
        (("transformmatrix", "orientation", "rotation"), "directions (TransformMatrix)"),
    ):
        stated = next((fields[name] for name in names if name in fields), "")
        if not stated or not all(map(_is_number, stated.split())):
            raise DamagedError(f"its header has no {what} in numbers", fix)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_padding(excess: int, total: int) -> bool:
    """Return whether bytes behind the voxels are few, or fill a file to whole blocks."""
    return excess <= _PADDING or (excess < _BLOCK and total % _BLOCK == 0)


def _require_plausible(count: int, needed: int, available: int) -> None:
    if count > _MOST_VOXELS:
        raise DamagedError(f"its header describes {count} voxels, more than any MR image has")
    if needed > available:
        raise DamagedError(f"its header describes {needed} bytes, more than the file can hold")


def _rest(stream: BinaryIO) -> int:
    """Read a stream to its end, whatever its length, and return the number of bytes."""
    return sum(len(chunk) for chunk in iter(lambda: stream.read(_CHUNK), b""))


def _decompressed(stream: BinaryIO, most: int, is_nrrd: bool) -> tuple[int, int]:
    """Decompress voxels, verify their checksums, and return the numbers of bytes made and consumed.

    NRRD holds one or several members of gzip, MetaImage one stream of zlib or gzip.

    Raises:
        DamagedError: damaged, cut short, or more than `most` bytes and padding.
    """
    total = consumed = 0
    pending = b""
    try:
        while True:
            decoder = zlib.decompressobj(wbits=31 if is_nrrd else 47)
            while not decoder.eof:
                pending = pending or stream.read(_CHUNK)
                if not pending:
                    raise DamagedError("compressed voxels are cut short")
                total += len(decoder.decompress(pending, _CHUNK))
                left = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                consumed += len(pending) - len(left)
                pending = left
                if total > most + _BLOCK:
                    raise DamagedError(f"more than the {most} bytes that its header describes")
            pending += stream.read(2) if len(pending) < 2 else b""
            if not (is_nrrd and pending.startswith(_GZIP)):
                return total, consumed
    except zlib.error as error:
        raise DamagedError(f"compressed voxels are damaged ({error})") from error


def _header(path: Path) -> tuple[bool, dict[str, str], int | None]:
    """Return whether a file is NRRD, the fields of its header with names in lower case, and where the header ends, if it does.

    Raises:
        DamagedError: a field stands twice.
    """
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_HEADER)
    is_nrrd = head.startswith(b"NRRD")
    end = re.search(rb"\r?\n\r?\n" if is_nrrd else rb"(?m)^[ \t]*ElementDataFile[ \t]*[=:][^\r\n]*\r?\n?", head)
    fields: dict[str, str] = {}
    for line in (head[: end.end()] if end else head).decode("utf-8", "surrogateescape").splitlines():
        # In NRRD, `key:=value` is no field.
        name, *value = re.split(": " if is_nrrd else "[=:]", line, maxsplit=1)
        name = name.replace(" ", "").strip().lower()  # NRRD has "data file" and "datafile"
        if not value or name.startswith("#") or ":=" in name:
            continue
        if name in fields and name != "comment":
            raise DamagedError(f"its header has the field {name} twice")
        fields[name] = value[0].strip()
    return is_nrrd, fields, end.end() if end else None


def _is_compressed(fields: Mapping[str, str], is_nrrd: bool) -> bool:
    if is_nrrd:
        return fields.get("encoding", "raw").lower() not in ("raw", "txt", "text", "ascii", "hex")
    return fields.get("compresseddata", "").upper().startswith(("T", "1"))


def _meta_voxels(path: Path, fields: Mapping[str, str], end: int | None) -> tuple[Path, int, int, int] | None:
    """Return where the voxels of a MetaImage are: file, offset, voxels, bytes; None if not in one piece."""
    name = fields.get("elementdatafile", "")
    size = _ITK_TYPES.get(fields.get("elementtype", "").upper().removeprefix("MET_").removesuffix("_ARRAY"))
    is_piece = fields.get("headersize", "0") == "0" and fields.get("binarydata", "true").upper().startswith(("T", "1"))
    if size is None or end is None or not is_piece or name.upper().startswith("LIST") or "%" in name:
        return None
    try:
        count = math.prod(int(part) for part in fields["dimsize"].split())
        channels = int(fields.get("elementnumberofchannels", "1"))
    except (KeyError, ValueError):
        return None
    is_local = name.upper() == "LOCAL"
    return (path if is_local else path.parent / name), end * is_local, count, count * channels * size


def _nrrd_voxels(path: Path, fields: Mapping[str, str], end: int | None) -> tuple[Path, int, int, int] | None:
    """Return for NRRD what `_meta_voxels` returns for MetaImage."""
    name = fields.get("datafile", "")
    size = next((size for size, names in _NRRD_TYPES.items() if fields.get("type", "").lower() in names), None)
    is_piece = {fields.get("lineskip", "0"), fields.get("byteskip", "0")} == {"0"}
    if size is None or not is_piece or name.upper().startswith("LIST") or "%" in name or not (name or end):
        return None
    if fields.get("encoding", "").lower() not in ("raw", "gzip", "gz"):
        return None
    try:
        count = math.prod(int(part) for part in fields["sizes"].split())
    except (KeyError, ValueError):
        return None
    return (path.parent / name if name else path), 0 if name or end is None else end, count, count * size
