"""Conversion of real DICOM series of several vendors."""

import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest

from factories.conversion import Conversion, written_bytes
from lumbarseg.geometry import load_image, sagittal_view
from lumbarseg.imaging.dicom_folder import find_series


@pytest.fixture
def out(tmp_path):
    return Conversion(tmp_path / "out")


@pytest.mark.parametrize(("contrast", "reference"), [("T2w", "t2"), ("T1w", "t1")])
def test_convert_gives_the_two_images_of_a_real_study(shared_data, out, contrast, reference):
    image, sidecar = out.convert(shared_data / "lumbar_pair" / "dicom", contrast)
    expected = load_image(shared_data / "lumbar_pair" / f"{reference}.nii.gz")
    views = [sagittal_view(np.asanyarray(one.dataobj), one.affine) for one in (image, expected)]
    np.testing.assert_array_equal(*views)
    assert (sidecar["EchoTime"] > 0.05) == (contrast == "T2w")
    for content in written_bytes(out.image.parent):
        for word in (
            b"HOSP12345",
            b"DZZ",
            b"General Hospital",
            b"House",
            b"ACC99",
            b"20220311",
            b"19600101",
            b"TSE_SAG",
            b"10:20:05",
        ):
            assert word not in content


REFERENCES = [
    *(f"anatomical/{name}" for name in ("001", "001_implicit")),
    *(f"ge/anatomical/{name}" for name in ("001", "001_implicit", "001_single_slice")),
    *(f"generic/anatomical/{name}" for name in ("001", "001_implicit")),
    *(f"generic/compressed{name}/001" for name in ("", "_j2k", "_jpeg", "_jpegls", "_rle")),
    *(f"hitachi/anatomical/{name}" for name in ("001", "001_implicit")),
]


def require_fields_of_header(sidecar, header):
    """The sidecar says what the header says, in the units of BIDS."""
    for name, field, factor in [
        ("RepetitionTime", "RepetitionTime", 1e-3),
        ("EchoTime", "EchoTime", 1e-3),
        ("FlipAngle", "FlipAngle", 1),
        ("MagneticFieldStrength", "MagneticFieldStrength", 1),
        ("SliceThickness", "SliceThickness", 1),
        ("SpacingBetweenSlices", "SpacingBetweenSlices", 1),
    ]:
        if header.get(field) not in (None, ""):
            assert sidecar[name] == pytest.approx(float(header.get(field)) * factor, rel=1e-3), name
    assert {"RepetitionTime", "EchoTime"} <= set(sidecar)


@pytest.mark.parametrize("folder", REFERENCES)
def test_convert_gives_the_reference_images_of_vendors_series(shared_data, out, folder):
    source = shared_data / "vendors" / "dicom2nifti" / folder
    image, sidecar = out.convert(source, "T1w")
    reference = nib.load(source.with_name(f"{source.name}_ground_truth.nii.gz"))
    views = [sagittal_view(np.asanyarray(one.dataobj), one.affine) for one in (image, reference)]
    np.testing.assert_array_equal(*views)
    affines = [nib.as_closest_canonical(one).affine for one in (image, reference)]
    np.testing.assert_allclose(*affines, atol=1e-3)
    require_fields_of_header(sidecar, pydicom.dcmread(find_series(source)[0].files[0], stop_before_pixels=True))


def test_convert_places_a_siemens_series_as_its_headers_say(shared_data, out):
    source = shared_data / "vendors" / "dcm_qa_decubitus" / "HFS"
    image, sidecar = out.convert(source, "T1w")
    files = [pydicom.dcmread(file) for file in find_series(source)[0].files]
    files.sort(key=lambda data: -data.ImagePositionPatient[0])  # from the patient's left, as x grows to the left
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)[::-1]
    if np.dot(np.cross(*np.reshape(files[0].ImageOrientationPatient, (2, 3))), (1, 0, 0)) > 0:
        view = view[::-1]
    assert len(view) == len(files) == 35
    same = [np.array_equal(plane, data.pixel_array) for plane, data in zip(view, files, strict=True)]
    assert all(same) or all(
        np.array_equal(plane, data.pixel_array) for plane, data in zip(view[::-1], files, strict=True)
    )
    require_fields_of_header(sidecar, files[0])


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("hyperfine/anatomical/001", "8 slices, axial, TR 4000 ms, TE 194.4 ms"),
        ("philips/anatomical/001", "4 slices, coronal"),
        ("generic/anatomical/002_non_isotropic", "4 slices, axial"),
        ("generic/rgb/001", "no DICOM file with an MR image"),
        ("failing/sliceincrement/001", ""),
        ("failing/notavolume/001", ""),
        ("failing/gantrytilting/001", ""),
    ],
)
def test_convert_rejects_vendors_series_that_are_not_sagittal_volumes(shared_data, out, folder, found):
    for contrast in ("T1w", "T2w"):
        assert found in out.refusal(shared_data / "vendors" / "dicom2nifti" / folder, contrast)


@pytest.mark.parametrize(("name", "slices", "times"), [("T1", 10, (4.3641, 2.081)), ("T2", 10, (1000.0, 80.0))])
def test_convert_keeps_the_frames_of_real_enhanced_files(shared_data, out, tmp_path, name, slices, times):
    data = pydicom.dcmread(shared_data / "vendors" / "philips_enhanced" / f"{name}.dcm")
    frames, pixels = data.PerFrameFunctionalGroupsSequence, data.pixel_array
    for number, frame in enumerate(frames):
        frame.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        frame.PlanePositionSequence[0].ImagePositionPatient = [4.0 * number, -100, 100]
    (tmp_path / "study").mkdir()
    data.save_as(tmp_path / "study" / "IM1")
    [series] = find_series(tmp_path / "study")
    assert len(series.slices) == slices
    assert (series.slices[0].repetition_time, series.slices[0].echo_time) == pytest.approx(times)
    image, _ = out.convert(tmp_path / "study", "T1w" if name == "T1" else "T2w")
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    assert len(view) == slices
    for number, frame in enumerate(pixels):  # x grows towards the left, and so does the view
        np.testing.assert_allclose(np.corrcoef(view[number].ravel(), frame.ravel())[0, 1], 1, atol=1e-6)


def test_convert_names_a_truncated_slice(shared_data, out):
    message = out.refusal(shared_data / "vendors" / "dicom2nifti" / "philips" / "anatomical" / "002", "T1w")
    assert "008.dcm: 1176712 bytes of pixels instead of 1179648" in message


def test_convert_rejects_a_truncated_compressed_slice(shared_data, out, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(shared_data / "vendors" / "dicom2nifti" / "generic" / "compressed_rle" / "001", folder)
    broken = sorted(folder.iterdir())[2]
    broken.chmod(0o644)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    assert str(folder) in out.refusal(folder, "T1w")


def enhanced(shared_data, folder, places, dimensions):
    """A real multi-frame file whose frames lie at other places, 4 mm apart; returns its frames by place."""
    data = pydicom.dcmread(shared_data / "vendors" / "philips_enhanced" / "T2.dcm")
    pixels = data.pixel_array
    data.PixelData = pixels[places].tobytes()
    for number, (frame, place) in enumerate(zip(data.PerFrameFunctionalGroupsSequence, places, strict=True)):
        frame.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        frame.PlanePositionSequence[0].ImagePositionPatient = [4.0 * place, -100, 100]
        content = frame.FrameContentSequence[0]
        content.InStackPositionNumber = place + 1
        if dimensions == "none":
            del frame.FrameContentSequence
        else:
            content.DimensionIndexValues = [
                1,
                {"place": place, "time": number, "wrong": 9 * number % 7}[dimensions] + 1,
            ]
    folder.mkdir()
    data.save_as(folder / "IM1")
    return pixels


@pytest.mark.parametrize("dimensions", ["place", "time", "wrong", "none"])
@pytest.mark.parametrize(
    "places", [[0, 2, 4, 6, 8, 1, 3, 5, 7, 9], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 5, 4, 6, 7, 8, 9]]
)
def test_convert_orders_frames_by_their_positions(shared_data, out, tmp_path, places, dimensions):
    pixels = enhanced(shared_data, tmp_path / "study", places, dimensions)
    image, _ = out.convert(tmp_path / "study")
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    assert len(view) == len(pixels)
    for found, expected in zip(view, pixels, strict=True):
        np.testing.assert_allclose(np.corrcoef(found.ravel(), expected.ravel())[0, 1], 1, atol=1e-6)


def test_convert_orders_compressed_frames_by_their_positions(shared_data, out, tmp_path):
    pixels = enhanced(shared_data, tmp_path / "study", [0, 2, 4, 6, 8, 1, 3, 5, 7, 9], "time")
    data = pydicom.dcmread(tmp_path / "study" / "IM1")
    data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    data.save_as(tmp_path / "study" / "IM1")
    image, _ = out.convert(tmp_path / "study")
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    for found, expected in zip(view, pixels, strict=True):
        np.testing.assert_allclose(np.corrcoef(found.ravel(), expected.ravel())[0, 1], 1, atol=1e-6)
