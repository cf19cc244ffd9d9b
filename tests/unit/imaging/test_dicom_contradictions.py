"""DICOM headers that contradict each other or the pixels: a right image, or one sentence."""

import struct
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

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
    "RescaleSlope": ["0", "-1", "nan", "1e30", "1e-30", "x", "0,5", "1\\2"],
    "PhotometricInterpretation": ["MONOCHROME1", "PALETTE COLOR", "RGB", "YBR_FULL"],
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


def change_all(folder, change):
    for index, file in enumerate(write_series(folder, slices=range(SLICES))):
        data = pydicom.dcmread(file)
        change(data, slice_signal(index))
        data.save_as(file)


def scaled_by_philips(slope, intercept):
    def change(data, _):
        data.Manufacturer = "Philips Medical Systems"
        data.RescaleSlope, data.RescaleIntercept = "2", "0"
        block = data.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", slope)
        block.add_new(0x0D, "FL", intercept)

    return change


@pytest.mark.parametrize(
    ("slope", "intercept"),
    [(-0.5, 0), (0, 0), (1e30, 0), (1e-30, 0), (np.nan, 0), (np.inf, 0), (0.5, np.nan), (0.5, 1e30)],
)
def test_convert_rejects_private_scaling_that_cannot_be(tmp_path, out, slope, intercept):
    change_all(tmp_path / "dicom", scaled_by_philips(slope, intercept))
    assert "IM020001: the private scale" in out.refusal(tmp_path / "dicom")


def test_convert_applies_private_scaling_of_philips(tmp_path, out):
    change_all(tmp_path / "dicom", scaled_by_philips(0.5, 0))
    image, _ = out.convert(tmp_path / "dicom")
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    np.testing.assert_allclose(view, np.stack([2 * slice_signal(index) for index in range(SLICES)])[::-1])


@pytest.mark.parametrize(
    ("colours", "problem"),
    [
        ("MONOCHROME1", "the grey values are inverted (MONOCHROME1)"),
        ("PALETTE COLOR", "the pixels are not grey values"),
    ],
)
def test_convert_names_inverted_and_colour_images(tmp_path, out, colours, problem):
    for file in write_series(tmp_path / "dicom"):
        edited(file, PhotometricInterpretation=colours)
    assert f"IM020001: {problem}" in out.refusal(tmp_path / "dicom")


def left_aligned(data, signal):
    data.PixelRepresentation, data.HighBit = 1, 15
    data.PixelData = (signal.astype("<i2") << 3).tobytes()
    data.BitsStored = 13


def as_floats(data, signal):
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.BitsAllocated = 32
    data.FloatPixelData = signal.astype("<f4").tobytes()


def padded(data, _):
    data.PixelData = data.PixelData + bytes(512)


def with_overlay(data, _):
    for element, vr, value in (
        (0x0010, "US", 24), (0x0011, "US", 20), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1]), (0x0100, "US", 1),
        (0x0102, "US", 0), (0x3000, "OW", bytes(60)),
    ):  # fmt: skip
        data.add_new(0x60000000 + element, vr, value)


def rle_with_surplus(data, _):
    data.compress(RLELossless, generate_instance_uid=False)
    [frame] = generate_frames(data.PixelData, number_of_frames=1)
    data.PixelData = encapsulate([frame + bytes(510)])


@pytest.mark.parametrize(
    ("change", "factor"),
    [(left_aligned, 8), (as_floats, 1), (padded, 1), (with_overlay, 1), (rle_with_surplus, 1)],
)
def test_convert_reads_unusual_but_valid_pixels(tmp_path, out, change, factor):
    change_all(tmp_path / "dicom", change)
    image, _ = out.convert(tmp_path / "dicom")
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    expected = np.stack([slice_signal(index) for index in range(SLICES)])[::-1].astype(float) * factor
    np.testing.assert_array_equal(view, expected)


def test_convert_rejects_compressed_frames_in_parts_in_one_sentence(tmp_path, out):
    def change(data, _):
        data.compress(RLELossless, generate_instance_uid=False)
        data.PixelData = encapsulate([*generate_frames(data.PixelData, number_of_frames=1)], fragments_per_frame=4)

    change_all(tmp_path / "dicom", change)
    assert "stored as 4 fragments" in out.refusal(tmp_path / "dicom")


@pytest.mark.parametrize("syntax", [b"1.2.840.113619.5.2\0\0", b"1.2.999.10008.1.2.1\0"])
def test_convert_says_that_a_transfer_syntax_is_unknown(tmp_path, out, syntax):
    for file in write_series(tmp_path / "dicom"):
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.1\0", syntax))
    assert "IM020001: its transfer syntax is unknown; export it again" in out.refusal(tmp_path / "dicom")


def test_convert_says_that_the_number_of_frames_contradicts(tmp_path, out):
    for file in write_series(tmp_path / "dicom"):
        edited(file, NumberOfFrames=2)
    message = out.refusal(tmp_path / "dicom")
    assert "IM020001: header and pixels contradict each other (NumberOfFrames is not the number of frames" in message


def test_find_series_inflates_no_file(tmp_path):
    [file] = write_series(tmp_path / "dicom", slices=[0])
    data = pydicom.dcmread(file)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    del data.PixelData
    data.save_as(file)
    whole = file.read_bytes()
    end = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    packer = zlib.compressobj(9, wbits=-15)
    content = packer.compress(
        zlib.decompress(whole[end:], -15) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 50_000_000)
    )
    file.write_bytes(whole[:end] + content + packer.compress(bytes(50_000_000)) + packer.flush())
    for strip in (0, 132):
        file.write_bytes(file.read_bytes()[strip:])
        tracemalloc.start()
        with pytest.raises(
            InputError, match=r"IM020001: the whole file is deflated; export it again without compression"
        ):
            find_series(tmp_path / "dicom")
        with pytest.raises(
            InputError, match=r"IM020001: the whole file is deflated; export it again without compression"
        ):
            list(mr_headers(tmp_path / "dicom", ["PatientID"]))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()
