"""DICOM headers that contradict each other or the pixels: a right image, or one sentence."""

import struct

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from factories.conversion import Conversion
from factories.dicom import GAP, SPACING, edited, slice_signal, write_series
from lumbarseg.errors import InputError
from lumbarseg.geometry import sagittal_view
from lumbarseg.imaging.dicom_folder import find_series, mr_headers
from lumbarseg.imaging.dicom_headers import read_slices
from lumbarseg.imaging.dicom_pixels import require_pixels_as_described
from lumbarseg.imaging.same_patient import identify

SLICES = 5


def number(value):
    return struct.pack("<H", value)


def write_raw(file, field, content, vr=None):
    """Write the bytes of a field as they are, whatever its type allows; leave it out for None."""
    data = pydicom.dcmread(file)
    tag = pydicom.tag.Tag(tag_for_keyword(field))
    if content is None:
        data._dict.pop(tag, None)
    else:
        raw = content if isinstance(content, bytes) else content.encode("latin-1")
        raw += b" " * (len(raw) % 2)
        data._dict[tag] = RawDataElement(tag, vr or dictionary_VR(tag), len(raw), raw, 0, False, True)
    pydicom.dcmwrite(file, data, enforce_file_format=False)


def require_right_image(image):
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    np.testing.assert_array_equal(view, np.stack([slice_signal(index) for index in range(SLICES)])[::-1])
    sizes = np.linalg.norm(image.affine[:3, :3], axis=0)
    np.testing.assert_allclose(sorted(sizes), [SPACING, SPACING, GAP], atol=1e-3)
    at = np.linalg.inv(image.affine) @ [-GAP * (0 - 2.5) * -1, 8, 9, 1]
    np.testing.assert_allclose(at, np.rint(at), atol=0.02)
    assert image.dataobj[tuple(np.rint(at[:3]).astype(int))] == slice_signal(0)[0, 0]


CONTRADICTIONS = {
    "PixelSpacing": [None, "", "0,8\\0,8", "0.8", "nan\\nan", "-0.8\\-0.8", "1e30\\1e30", "inf\\inf", "x\\x", "1e-9\\1e-9", "30\\30"],
    "ImagePositionPatient": [None, "nan\\0\\0", "nan\\nan\\nan", "inf\\0\\0", "1e30\\0\\0", "1,5\\0\\0", "0\\0", "-11\\nan\\9"],
    "ImageOrientationPatient": [None, "0\\1\\0\\0\\0\\nan", "0\\0\\0\\0\\0\\0", "0\\1\\0\\0\\1\\0", "0\\2\\0\\0\\0\\-2", "1e30\\0\\0\\0\\0\\1"],
    "Rows": [None, number(12), number(23), number(25), number(48), number(0)],
    "Columns": [None, number(10), number(19), number(21), number(40), number(0)],
    "BitsAllocated": [None, number(8), number(32), number(12), number(1), number(0), number(64)],
    "BitsStored": [number(0), number(32)],
    "PixelRepresentation": [number(1), number(7)],
    "SamplesPerPixel": [number(3), number(0)],
    "NumberOfFrames": ["2", "0", "-1", "x"],
    "RescaleSlope": ["0", "-1", "nan", "1e30", "x", "0,5"],
    "RescaleIntercept": ["nan", "1e30", "x"],
    "PixelData": [None, b"", bytes(100), bytes(4000)],
}  # fmt: skip


@pytest.mark.parametrize("where", ["all", "first", "middle", "last"])
@pytest.mark.parametrize(
    ("field", "content"), [(field, content) for field, contents in CONTRADICTIONS.items() for content in contents]
)
def test_convert_rejects_headers_that_contradict_themselves_or_the_pixels(tmp_path, out, field, content, where):
    files = write_series(tmp_path / "dicom", slices=range(SLICES))
    for file in {"all": files, "first": files[:1], "middle": files[2:3], "last": files[-1:]}[where]:
        write_raw(file, field, content)
    out.refusal(tmp_path / "dicom")


@pytest.mark.parametrize(
    ("field", "content"),
    [("PixelRepresentation", number(1)), ("PhotometricInterpretation", "MONOCHROME1"), ("BitsStored", number(16)),
     ("PixelSpacing", "0.96\\0.96"), ("ImagePositionPatient", "0\\30\\9")],
)  # fmt: skip
def test_convert_rejects_a_slice_that_contradicts_the_others(tmp_path, out, field, content):
    files = write_series(tmp_path / "dicom", slices=range(SLICES))
    write_raw(files[2], field, content)
    out.refusal(tmp_path / "dicom")


def test_convert_names_what_contradicts(tmp_path, out):
    for file in write_series(tmp_path / "dicom"):
        write_raw(file, "Rows", number(12))
    message = out.refusal(tmp_path / "dicom")
    assert "IM020001: header and pixels contradict each other (960 bytes of pixels instead of 480); copy or" in message


def test_convert_reads_pixels_with_a_sign_and_padding(tmp_path, out):
    signed = np.array([-5, 7] * 240, "<i2").tobytes()
    for file in write_series(tmp_path / "dicom"):
        edited(file, PixelRepresentation=1, PixelData=signed + bytes(2))
    image, _ = out.convert(tmp_path / "dicom")
    assert set(np.unique(image.dataobj)) == {-5, 7}


def test_convert_says_that_scaling_differs_between_slices(tmp_path, out):
    files = write_series(tmp_path / "dicom")
    for file in files:
        edited(file, RescaleSlope=2, RescaleIntercept=0)
    out.convert(tmp_path / "dicom")
    assert out.chosen["remarks"] == []
    edited(files[3], RescaleSlope=4)
    out.convert(tmp_path / "dicom")
    assert out.chosen["remarks"] == ["RescaleSlope differ between the slices; check their brightness"]


@pytest.mark.parametrize("broken", ["Rows", "Columns", "BitsAllocated"])
@pytest.mark.parametrize("kind", ["_j2k", "_jpeg", "_jpegls", "_rle"])
def test_require_pixels_as_described_compares_compressed_frames(shared_data, tmp_path, kind, broken):
    folder = shared_data / "vendors" / "dicom2nifti" / "generic" / f"compressed{kind}" / "001"
    file = tmp_path / "slice"
    for source in sorted(folder.iterdir()):
        require_pixels_as_described(source)
    file.write_bytes(source.read_bytes())
    write_raw(file, broken, number(8 if broken == "BitsAllocated" else 128))
    with pytest.raises(InputError, match=r"slice: header and pixels contradict each other \(.*\); copy or export it"):
        require_pixels_as_described(file)
    file.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"slice: .*compressed frames are cut short"):
        require_pixels_as_described(file)


FUZZED = [
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SeriesNumber", "InstanceNumber", "EchoTime",
    "RepetitionTime", "InversionTime", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID", "Modality", "ImageType", "PatientID",
    "PatientName", "PatientAge", "PatientSex", "PatientWeight", "PatientBirthDate", "StudyDate", "ScanningSequence", "SeriesDescription",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "RescaleSlope", "SpecificCharacterSet",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        [b"", b"nan", b"inf", b"-1", b"1e999", b"0,8\\0,8", b"1\\2\\3", b"\\\\\\", b"9" * 400, b"\xff\xfe", b"0" * 64]
    ),
    st.binary(max_size=40),
    st.text("0123456789.,-+eE\\ ", max_size=30).map(str.encode),
)
# Of the standard, unknown ones, and those that hold other fields.
TYPES = st.sampled_from(
    ["DS", "IS", "US", "UI", "CS", "LO", "PN", "SQ", "UN", "OB", "FD", "AT", "ZZ", "??", "\x00\x00"]
)


def explicit_element(field, vr, content):
    """The bytes of an element with any type, in explicit little endian."""
    tag = tag_for_keyword(field)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")[:2].ljust(2)
    content += b" " * (len(content) % 2)
    if vr in ("SQ", "UN", "OB"):
        return head + bytes(2) + struct.pack("<I", len(content)) + content
    return head + struct.pack("<H", len(content)) + content


def replaced(whole, field, vr, content):
    """A file whose element has another type and content; other elements stay where they are."""
    tag = tag_for_keyword(field)
    place = whole.find(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 132)
    made = explicit_element(field, vr, content)
    if place < 0:
        place = end = whole.find(struct.pack("<HH", 0x7FE0, 0x0010))
    else:
        old = pydicom.dcmread(pydicom.filebase.DicomBytesIO(whole)).get_item(tag)
        end = place + 8 + old.length
    return whole[:place] + made + whole[end:]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    return folder, [file.read_bytes() for file in write_series(folder / "dicom", slices=range(SLICES))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FUZZED), vr=TYPES, content=TEXTS)
def test_find_series_ends_in_one_sentence_for_any_type_and_content_of_a_field(fuzzed, field, vr, content):
    folder, contents = fuzzed
    file = folder / "dicom" / "IM020005"
    file.write_bytes(replaced(contents[4], field, vr, content))
    try:
        find_series(folder / "dicom")
    except InputError as error:
        message = str(error)
        assert str(folder / "dicom") in message
        assert "\n" not in message
        assert len(message) < 500
    # What identifies a session is read of damaged headers as well.
    identify([folder / "dicom"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_read_slices_ends_in_one_sentence_for_any_damaged_byte(fuzzed, data):
    folder, contents = fuzzed
    damaged = bytearray(contents[2])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(132, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file = folder / "damaged"
    file.write_bytes(damaged[: data.draw(st.integers(200, len(damaged)))])
    for read in (read_slices, require_pixels_as_described, lambda path: list(mr_headers(path.parent, ["PatientName"]))):
        try:
            read(file)
        except InputError as error:
            assert str(error).startswith(f"{folder}")
            assert "\n" not in str(error)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(
        ["PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "BitsAllocated"]
    ),
    content=TEXTS,
    last=st.booleans(),
)
def test_convert_gives_the_right_image_or_a_sentence_for_any_content(tmp_path_factory, field, content, last):
    folder = tmp_path_factory.mktemp("any")
    files = write_series(folder / "dicom", slices=range(SLICES))
    for file in files[-1:] if last else files[1:2]:
        write_raw(file, field, content)
    out = Conversion(folder / "out")
    try:
        image, _ = out.convert(folder / "dicom")
    except InputError as error:
        assert str(folder / "dicom") in str(error)
        assert not out.image.exists()
    else:
        require_right_image(image)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_convert_gives_the_right_image_of_headers_without_contradictions(tmp_path, out, syntax):
    write_series(tmp_path / "dicom", slices=range(SLICES), syntax=syntax)
    require_right_image(out.convert(tmp_path / "dicom")[0])
    assert out.chosen["remarks"] == []
