"""The check that the pixels of a DICOM file are those that its header describes.

dcm2niix believes the header: with half of the rows it converts the upper half of the image, with eight bits every other byte.

Sources: DICOM PS3.3, C.7.6.3; PS3.5, 8 (pixels), A.4 (compressed frames), G (RLE); ITU-T T.81, T.87 and T.800 (JPEG, JPEG-LS, JPEG 2000).
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_headers import (
    HeaderError,
    bytes_of_pixels,
    count_of,
    reason_of,
    text_of,
    whole_number,
    without_messages_of_pydicom,
)

_PIXEL_DATA, _ITEM, _END = (0x7FE0, 0x0010), (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_RLE = "1.2.840.10008.1.2.5"
_LARGEST_SCALE = 1e6  # of RescaleSlope and RescaleIntercept

# Markers of a JPEG frame's size, and those without a length behind them.
_SIZE_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = {0x01, *range(0xD0, 0xDA)}


def require_pixels_as_described(file: Path) -> None:
    """Require that the pixels of a DICOM file are those that its header describes.

    Compared are the length of the pixels with rows, columns, samples, frames and bits; the sizes of compressed frames; and the
    values with the sign that the header states.

    Raises:
        InputError: they contradict each other, or compressed frames are cut short.
    """
    with file.open("rb") as stream, without_messages_of_pydicom():
        try:
            header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            _require_numbers(header)
            _require_pixels(header, stream, file)
        except Exception as error:  # pydicom raises whatever damage leads to
            raise InputError(
                f"{file}: header and pixels contradict each other ({reason_of(error)}); copy or export it again"
            ) from None


def _require_numbers(header: pydicom.Dataset) -> None:
    bits = count_of(header, "BitsAllocated")
    if bits not in (8, 16, 32):
        raise HeaderError("BitsAllocated is none of 8, 16 and 32")
    limits = {"BitsStored": (1, bits), "HighBit": (0, bits - 1), "PixelRepresentation": (0, 1)}
    for name, (low, high) in limits.items():
        value = whole_number(header, name)
        if name in header and (value is None or not low <= value <= high):
            raise HeaderError(f"{name} is not one of {low} to {high}")
    for name, lowest in (("RescaleSlope", 0.0), ("RescaleIntercept", -_LARGEST_SCALE)):
        if not (text := text_of(header, name)):
            continue
        try:
            scale = float(text)
        except ValueError:
            raise HeaderError(f"{name} is no number") from None
        if not (math.isfinite(scale) and lowest <= scale <= _LARGEST_SCALE) or (scale == 0 and lowest == 0):
            raise HeaderError(f"{name} is not {'above 0' if lowest == 0 else 'finite'}")


def _require_pixels(header: pydicom.Dataset, stream: BinaryIO, file: Path) -> None:
    rows, columns, bits = (count_of(header, name) for name in ("Rows", "Columns", "BitsAllocated"))
    samples = count_of(header, "SamplesPerPixel") if "SamplesPerPixel" in header else 1
    frames = whole_number(header, "NumberOfFrames") or 1
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax and syntax.is_deflated:
        # The header is inflated in memory, so the stream is not where the pixels are.
        content = pydicom.dcmread(file, force=True)["PixelData"].value
        length = len(content)
    else:
        length = _open_pixel_data(header, stream)
        content = b""
    if syntax and syntax.is_compressed and not syntax.is_deflated:
        if length != _UNDEFINED_LENGTH:
            raise HeaderError("compressed pixels with a length")
        parts = _fragments(stream, file.stat().st_size)
        if len(parts) < frames:
            raise HeaderError(f"{len(parts)} compressed frames instead of {frames}")
        for offset, size in parts if len(parts) == frames else parts[:1]:
            stream.seek(offset)
            _require_frame(stream.read(size), str(syntax), (rows, columns), samples, bits)
        return
    needed = bytes_of_pixels(header, frames)
    # Padding is shorter than a row and than a column.
    if not needed <= length < needed + max(2, min(rows, columns) * bits // 8):
        raise HeaderError(f"{length} bytes of pixels instead of {needed}")
    values = np.frombuffer((content or stream.read(needed))[:needed], _dtype(header, bits))
    _require_values(header, values)


def _open_pixel_data(header: pydicom.Dataset, stream: BinaryIO) -> int:
    """Move to the value of the pixel data and return its length in bytes."""
    is_implicit, is_little = header.original_encoding
    order = "<" if is_little in (True, None) else ">"
    tag = struct.unpack(f"{order}HH", stream.read(4))
    if tag != _PIXEL_DATA:
        raise HeaderError("PixelData is missing")
    if not is_implicit:
        stream.read(4)
    return int(struct.unpack(f"{order}I", stream.read(4))[0])


def _dtype(header: pydicom.Dataset, bits: int) -> np.dtype:
    return np.dtype(f"{'>' if header.original_encoding[1] is False else '<'}u{bits // 8}")


def _require_values(header: pydicom.Dataset, values: np.ndarray) -> None:
    """Require that the bits above those stored repeat the sign, if pixels have one.

    Of pixels without sign, these bits are part of the value for dcm2niix, and a smaller BitsStored is harmless.
    """
    bits, stored = count_of(header, "BitsAllocated"), whole_number(header, "BitsStored")
    has_overlay = any((element.tag.group & 0xFF00) == 0x6000 for element in header.elements())
    if stored is None or stored == bits or has_overlay or whole_number(header, "PixelRepresentation") != 1:
        return
    sign = values >> (stored - 1) & 1
    if count := int(np.count_nonzero(values >> stored != sign * ((1 << bits - stored) - 1))):
        raise HeaderError(f"{count} pixels do not have the sign that PixelRepresentation and BitsStored state")


def _fragments(stream: BinaryIO, end: int) -> list[tuple[int, int]]:
    """Return offset and length of the items that hold compressed frames; the first item is a table of offsets."""
    found: list[tuple[int, int]] = []
    while True:
        head = stream.read(8)
        if not head:
            break
        group, element, length = struct.unpack("<HHI", head)
        if (group, element) == _END:
            break
        place = stream.tell()
        if (group, element) != _ITEM or place + length > end:
            raise HeaderError("compressed frames are cut short")
        found.append((place, length))
        stream.seek(length, 1)
    return found[1:]


def _require_frame(frame: bytes, syntax: str, size: tuple[int, int], samples: int, bits: int) -> None:
    if syntax == _RLE:
        _require_rle(frame, size[0] * size[1], samples * bits // 8)
        return
    found = _size_of_jpeg2000(frame) if frame.startswith(b"\xff\x4f\xff\x51") else _size_of_jpeg(frame)
    if found[:2] != size:
        raise HeaderError(f"compressed frame of {found[0]} × {found[1]} pixels instead of {size[0]} × {size[1]}")
    if found[2] > bits:
        raise HeaderError(f"compressed frame of {found[2]} bits, where BitsAllocated is {bits}")


def _size_of_jpeg(frame: bytes) -> tuple[int, int, int]:
    """Return rows, columns and bits of a JPEG or JPEG-LS frame."""
    place = 0
    while place + 4 <= len(frame):
        if frame[place] != 0xFF:
            break
        marker = frame[place + 1]
        if marker == 0xFF or marker in _BARE_MARKERS:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _SIZE_MARKERS:
            bits, rows, columns = struct.unpack_from(">BHH", frame, place + 4)
            return rows, columns, bits
        place += 2 + int(struct.unpack_from(">H", frame, place + 2)[0])
    raise HeaderError("a compressed frame states no size")


def _size_of_jpeg2000(frame: bytes) -> tuple[int, int, int]:
    """Return rows, columns and bits of a JPEG 2000 frame."""
    right, lower, left, upper = struct.unpack_from(">IIII", frame, 8)
    return lower - upper, right - left, (frame[42] & 0x7F) + 1


def _require_rle(frame: bytes, pixels: int, planes: int) -> None:
    count, *starts = struct.unpack_from("<16I", frame)
    if count != planes:
        raise HeaderError(f"{count} planes of compressed bytes instead of {planes}")
    ends = [*starts[1:count], len(frame)]
    for start, end in zip(starts, ends, strict=False):
        if (found := _length_of_rle(frame[start:end])) < pixels:
            raise HeaderError(f"{found} pixels in a compressed plane instead of {pixels}")
        if found > pixels + 1:
            raise HeaderError(f"{found} pixels in a compressed plane instead of {pixels}")


def _length_of_rle(plane: bytes) -> int:
    """Return the number of bytes that a run-length encoded plane decodes to."""
    length = place = 0
    while place < len(plane):
        run = plane[place]
        if run < 128:
            length += min(run + 1, len(plane) - place - 1)
            place += run + 2
        else:
            if run > 128 and place + 1 < len(plane):
                length += 257 - run
            place += 2 if run > 128 else 1
    return length
