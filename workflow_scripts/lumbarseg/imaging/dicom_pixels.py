"""The pixels of a DICOM file: the check that they are those that its header describes, and the order of frames.

dcm2niix believes the header: with half of the rows it converts the upper half of the image, with eight bits every other byte.

Sources: DICOM PS3.3, C.7.6.3; PS3.5, 8 (pixels), A.4 (compressed frames), G (RLE); ITU-T T.81, T.87 and T.800 (JPEG, JPEG-LS, JPEG 2000).
"""

import itertools
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.encaps import encapsulate, generate_frames

from lumbarseg.imaging.dicom_headers import (
    HeaderError,
    UnsupportedError,
    bytes_of_pixels,
    contradiction,
    count_of,
    is_compressed,
    read_header,
    text_of,
    whole_number,
    without_messages_of_pydicom,
)

_PIXEL_DATA, _FLOAT_PIXEL_DATA, _ITEM, _END = (0x7FE0, 0x0010), (0x7FE0, 0x0008), (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_RLE = "1.2.840.10008.1.2.5"
_MOST_PADDING = 512  # bytes of zeros behind the pixels

# Factors and offsets of pixel values, also those of Philips, and their limits.
_SLOPES = {
    0x00281053: "RescaleSlope", 0x00409225: "RealWorldValueSlope", 0x2005100E: "the private scale slope",
    0x2005140A: "the private rescale slope",
}  # fmt: skip
_INTERCEPTS = {
    0x00281052: "RescaleIntercept", 0x00409224: "RealWorldValueIntercept", 0x2005100D: "the private scale intercept",
    0x20051409: "the private rescale intercept",
}  # fmt: skip
_SMALLEST_SCALE, _LARGEST_SCALE = 1e-6, 1e6

# Markers of a JPEG frame's size, and those without a length behind them.
_SIZE_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = {0x01, *range(0xD0, 0xDA)}


def require_pixels_as_described(file: Path) -> None:
    """Require that the pixels of a DICOM file are those that its header describes.

    Compared are the length of the pixels with rows, columns, samples, frames and bits; the sizes of compressed frames; and the
    values with the sign that the header states.

    Raises:
        InputError: they contradict each other, compressed frames are cut short, or pixels are colours or inverted.
    """
    with file.open("rb") as stream, without_messages_of_pydicom():
        try:
            header = read_header(stream)
            _require_grey_values(header)
            _require_numbers(header)
            _require_pixels(header, stream, file)
        except Exception as error:  # pydicom raises whatever damage leads to
            raise contradiction(file, error) from None


def write_frames_in_order(file: Path, order: Sequence[int], target: Path) -> None:
    """Write a multi-frame file with its frames in another order, and sorted by no other index.

    Args:
        file: the file.
        order: numbers of its frames, from 0.
        target: the file to write.

    Raises:
        InputError: its frames cannot be separated.
    """
    with without_messages_of_pydicom():
        try:
            data = pydicom.dcmread(file, force=True)
            frames = data.PerFrameFunctionalGroupsSequence
            data.PerFrameFunctionalGroupsSequence = [frames[number] for number in order]
            for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence, 1):
                frame.FrameContentSequence = [pydicom.Dataset()]
                frame.FrameContentSequence[0].DimensionIndexValues = [1, number]
                frame.FrameContentSequence[0].InStackPositionNumber = number
            pixels = next(data[tag] for tag in (_PIXEL_DATA, _FLOAT_PIXEL_DATA) if tag in data)
            if is_compressed(data):
                parts = list(generate_frames(pixels.value, number_of_frames=len(order)))
                pixels.value = encapsulate([parts[number] for number in order])
            else:
                size = bytes_of_pixels(data, len(order)) // len(order)
                pixels.value = b"".join(pixels.value[number * size :][:size] for number in order)
            data.pop("ExtendedOffsetTable", None)
            data.pop("ExtendedOffsetTableLengths", None)
            data.preamble = bytes(128)
            data.save_as(target, enforce_file_format=False)
        except Exception as error:
            raise contradiction(file, error) from None


def _require_grey_values(header: pydicom.Dataset) -> None:
    colours = text_of(header, "PhotometricInterpretation")
    if colours == "MONOCHROME1":
        raise UnsupportedError("the grey values are inverted (MONOCHROME1); export it again as MONOCHROME2")
    if colours not in ("", "MONOCHROME2"):
        raise UnsupportedError(
            "the pixels are not grey values (PhotometricInterpretation is not MONOCHROME2); export the original images"
        )


def _require_numbers(header: pydicom.Dataset) -> None:
    bits = count_of(header, "BitsAllocated")
    if bits not in (8, 16, 32):
        raise HeaderError("BitsAllocated is none of 8, 16 and 32")
    limits = {"BitsStored": (1, bits), "HighBit": (0, bits - 1), "PixelRepresentation": (0, 1)}
    for name, (low, high) in limits.items():
        value = whole_number(header, name)
        if name in header and (value is None or not low <= value <= high):
            raise HeaderError(f"{name} is not one of {low} to {high}")
    is_philips = "PHILIPS" in text_of(header, "Manufacturer").upper()
    for element in header.iterall():
        names, smallest = (_SLOPES, _SMALLEST_SCALE) if element.tag in _SLOPES else (_INTERCEPTS, -_LARGEST_SCALE)
        if element.tag not in names or (element.tag.is_private and not is_philips):
            continue
        factor = _number(element.value, names[element.tag])
        if factor is not None and not smallest <= factor <= _LARGEST_SCALE:
            raise UnsupportedError(
                f"{names[element.tag]} is not between {smallest:g} and {_LARGEST_SCALE:g}; export it again"
            )


def _number(value: Any, name: str) -> float | None:
    """Return the number of an element, None if it is empty. The value of a private one may be the bytes of a number."""
    if value is None or value in ("", b""):
        return None
    try:
        return float(struct.unpack("<f", value)[0] if isinstance(value, bytes) and len(value) == 4 else value)
    except (TypeError, ValueError, OverflowError):
        raise UnsupportedError(f"{name} is no number; export it again") from None


def _require_pixels(header: pydicom.Dataset, stream: BinaryIO, file: Path) -> None:
    rows, columns, bits = (count_of(header, name) for name in ("Rows", "Columns", "BitsAllocated"))
    samples = count_of(header, "SamplesPerPixel") if "SamplesPerPixel" in header else 1
    frames = whole_number(header, "NumberOfFrames") or 1
    length = _open_pixel_data(header, stream)
    if is_compressed(header):
        if length != _UNDEFINED_LENGTH:
            raise HeaderError("compressed pixels with a length")
        syntax = str(header.file_meta.TransferSyntaxUID)
        parts = _fragments(stream, file.stat().st_size)
        if len(parts) < frames:
            raise HeaderError(f"{len(parts)} compressed frames instead of {frames}")
        # A single frame may be in several parts.
        for group in [[part] for part in parts] if len(parts) == frames else [parts if frames == 1 else parts[:1]]:
            frame = b"".join(_read_at(stream, *part) for part in group)
            _require_frame(frame, syntax, (rows, columns), samples, bits)
        return
    needed = bytes_of_pixels(header, frames)
    values = np.frombuffer(stream.read(needed), _dtype(header, bits))
    surplus = length - needed
    # Padding is shorter than a row and than a column, or of zeros, which are no further rows or columns.
    is_padding = 0 <= surplus < max(2, min(rows, columns) * bits // 8) or (
        0 <= surplus <= _MOST_PADDING
        and not any(stream.read(surplus))
        and all(surplus % (count * bits // 8) for count in (rows, columns))
    )
    if not is_padding:
        raise HeaderError(f"{length} bytes of pixels instead of {needed}")
    _require_values(header, values)


def _read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size)


def _open_pixel_data(header: pydicom.Dataset, stream: BinaryIO) -> int:
    """Move to the value of the pixel data and return its length in bytes."""
    is_implicit, is_little = header.original_encoding
    order = "<" if is_little in (True, None) else ">"
    tag = struct.unpack(f"{order}HH", stream.read(4))
    if tag not in (_PIXEL_DATA, _FLOAT_PIXEL_DATA):
        raise HeaderError("PixelData is missing")
    if not is_implicit:
        stream.read(4)
    return int(struct.unpack(f"{order}I", stream.read(4))[0])


def _dtype(header: pydicom.Dataset, bits: int) -> np.dtype:
    return np.dtype(f"{'>' if header.original_encoding[1] is False else '<'}u{bits // 8}")


def _require_values(header: pydicom.Dataset, values: np.ndarray) -> None:
    """Require that the bits above those stored repeat the sign, if pixels have one.

    Of pixels without sign, these bits are part of the value for dcm2niix, and a smaller BitsStored is harmless. Values may also
    be in the upper bits, above zeros.
    """
    bits, highest, stored = (whole_number(header, name) for name in ("BitsAllocated", "HighBit", "BitsStored"))
    has_overlay = any((element.tag.group & 0xFF00) == 0x6000 for element in header.elements())
    if bits is None or stored in (None, bits) or has_overlay or whole_number(header, "PixelRepresentation") != 1:
        return
    if highest == bits - 1 and not (values & (1 << bits - stored) - 1).any():
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
    for start, end in itertools.pairwise([*starts[:count], len(frame)]):
        found, behind = _decoded_length(frame[start:end], pixels)
        # A byte more, or zeros, make the length even.
        if not pixels <= found <= pixels + 1 or behind.strip(b"\0\x80"):
            raise HeaderError(f"a compressed plane has not the {pixels} pixels of the header")


def _decoded_length(plane: bytes, most: int) -> tuple[int, bytes]:
    """Return the number of bytes that a run-length encoded plane decodes to, up to `most`, and what lies behind them."""
    length = place = 0
    while place < len(plane) and length < most:
        run = plane[place]
        if run < 128:
            length += min(run + 1, len(plane) - place - 1)
            place += run + 2
        else:
            if run > 128 and place + 1 < len(plane):
                length += 257 - run
            place += 2 if run > 128 else 1
    return length, plane[place:]
