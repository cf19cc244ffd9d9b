"""DICOM-SEG: position of labels, references, identity, and empty results."""

import shutil
import time
import warnings

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement

from factories.orientation import ORIENTATIONS
from lumbarseg.deployment.dicomseg import labels_on_slices, write_dicomseg
from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, volume
from lumbarseg.imaging.conversion import convert
from lumbarseg.imaging.dicom_folder import find_series
from lumbarseg.labels import LabelTable
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.series import dicom_slice, identity

TABLE = LabelTable(
    [
        {"id": 0, "name": "Background", "colour": "#000000"},
        {"id": 1, "name": "Vert", "colour": "#e8c97d"},
        {"id": 2, "name": "Anything", "colour": "#b5762f"},
        {"id": 3, "name": "Nowhere", "colour": "#ffffff"},
    ]
)
LPS = np.diag([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """The T2w and T1w series of a phantom in one folder, with noise for an image, and the converted T2w."""
    folder = tmp_path_factory.mktemp("series")
    patient = draw_patient(3, "phantom03", 1, [64], (5, 5))
    generator = np.random.default_rng(0)
    for contrast in ("T2w", "T1w"):
        (folder / "dicom" / contrast).mkdir(parents=True)
        for index in range(5):
            pixels = generator.integers(0, 4000, (64, 64)).astype(np.uint16)
            written = dicom_slice(patient, contrast, index, pixels)
            written.save_as(folder / "dicom" / contrast / f"{index}.dcm", enforce_file_format=True)
    convert(folder / "dicom", "T2w", folder / "t2w.nii.gz", folder / "t2w.json")
    return folder, patient, load_image(folder / "t2w.nii.gz")


def write(path, label_map, folder):
    write_dicomseg(path, label_map, folder, TABLE, "UMD+TH")
    return pydicom.dcmread(path)


def places_of(dataset, number):
    """World coordinates (RAS) of a segment's pixels, from the frames' own headers."""
    found = []
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for pixels, frame in zip(
        dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns),
        dataset.PerFrameFunctionalGroupsSequence,
        strict=True,
    ):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        orientation = (frame if "PlaneOrientationSequence" in frame else shared).PlaneOrientationSequence[0]
        along, down = np.reshape(np.array(orientation.ImageOrientationPatient, float), (2, 3))
        between = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
        corner = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(pixels):
            found.append(LPS @ (corner + row * between[0] * down + column * between[1] * along))
    return np.array(found)


def corner_labels(image, corner):
    """A label map with class 1 in one corner voxel and class 2 in the opposite one, and where these lie (RAS)."""
    labels = np.zeros(image.shape, np.uint8)
    first = tuple(size - 1 if end else 0 for size, end in zip(image.shape, corner, strict=True))
    last = tuple(size - 1 - place for size, place in zip(image.shape, first, strict=True))
    labels[first], labels[last] = 1, 2
    return volume(labels, image.affine), [(image.affine @ [*place, 1])[:3] for place in (first, last)]


@pytest.mark.parametrize("codes", ORIENTATIONS[::3])
def test_write_dicomseg_keeps_the_position_of_labels_in_every_orientation(series, tmp_path, codes):
    folder, _, t2w = series
    turn = nib.orientations.ornt_transform(nib.io_orientation(t2w.affine), nib.orientations.axcodes2ornt(tuple(codes)))
    turned = t2w.as_reoriented(turn)
    label_map, places = corner_labels(turned, (ORIENTATIONS.index(codes) % 2, 0, 1))
    made = write(tmp_path / "seg.dcm", label_map, folder / "dicom")
    nib.save(label_map, tmp_path / "labels.nii.gz")
    again = nib.load(tmp_path / "labels.nii.gz")
    for number, place in enumerate(places, start=1):
        assert places_of(made, number) == pytest.approx(np.array([place]), abs=0.01)
        (voxel,) = np.argwhere(np.asarray(again.dataobj) == number)
        assert (again.affine @ [*voxel, 1])[:3] == pytest.approx(place, abs=1e-3)


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_write_dicomseg_is_independent_of_the_order_of_files(series, tmp_path, order):
    folder, _, t2w = series
    files = sorted((folder / "dicom/T2w").glob("*.dcm"))
    (tmp_path / "dicom").mkdir()
    places = {"reversed": [4, 3, 2, 1, 0], "shuffled": [2, 0, 4, 1, 3]}[order]
    for file, place in zip(files, places, strict=True):
        dataset = pydicom.dcmread(file)
        dataset.InstanceNumber = place + 1
        dataset.save_as(tmp_path / "dicom" / f"{place}.dcm")
    label_map, corners = corner_labels(t2w, (0, 1, 0))
    made = write(tmp_path / "seg.dcm", label_map, tmp_path / "dicom")
    for number, place in enumerate(corners, start=1):
        assert places_of(made, number) == pytest.approx(np.array([place]), abs=0.01)


def test_write_dicomseg_refers_to_the_slices_of_the_t2w_series_only(series, tmp_path):
    folder, _, t2w = series
    label_map, _ = corner_labels(t2w, (0, 0, 0))
    made = write(tmp_path / "seg.dcm", label_map, folder / "dicom")
    slices = [pydicom.dcmread(file) for file in (folder / "dicom/T2w").glob("*.dcm")]
    (referenced,) = made.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence} <= {
        one.SOPInstanceUID for one in slices
    }
    assert made.StudyInstanceUID == slices[0].StudyInstanceUID
    assert made.FrameOfReferenceUID == slices[0].FrameOfReferenceUID


def test_write_dicomseg_describes_segments_by_name_code_and_colour(series, tmp_path):
    folder, _, t2w = series
    label_map, _ = corner_labels(t2w, (1, 1, 1))
    write(tmp_path / "seg.dcm", label_map, folder / "dicom")
    read = hd.seg.segread(tmp_path / "seg.dcm")
    assert [read.get_segment_description(number).segment_label for number in read.segment_numbers] == [
        "Vert",
        "Anything",
    ]
    assert read.get_segment_description(1).segmented_property_type.meaning == "Vertebra"
    assert read.get_segment_description(2).segmented_property_type.meaning == "Tissue"
    shown = (
        read.get_segment_description(1).display_color
        if hasattr(read.get_segment_description(1), "display_color")
        else None
    )
    assert shown is None or shown.to_rgb() == pytest.approx((232, 201, 125), abs=3)


def test_write_dicomseg_contains_nothing_of_the_patients_identity(series, tmp_path):
    folder, patient, t2w = series
    label_map, _ = corner_labels(t2w, (0, 0, 0))
    write(tmp_path / "seg.dcm", label_map, folder / "dicom")
    content = (tmp_path / "seg.dcm").read_bytes()
    given = b"".join(file.read_bytes() for file in (folder / "dicom/T2w").glob("*.dcm"))
    words = {part for value in identity(patient).values() for part in (value, *value.split("^"))} | {
        "COLUMNA LUMBAR",
        "t2_tse_sag",
    }
    for word in words:
        if len(word) > 4:
            assert word.encode() in given
            assert word.encode() not in content, word


def test_write_dicomseg_derives_its_identifier_from_the_labels(series, tmp_path):
    folder, _, t2w = series
    label_map, _ = corner_labels(t2w, (0, 0, 0))
    uids = [write(tmp_path / f"{n}.dcm", label_map, folder / "dicom").SOPInstanceUID for n in range(2)]
    other, _ = corner_labels(t2w, (1, 0, 0))
    assert uids[0] == uids[1] != write(tmp_path / "2.dcm", other, folder / "dicom").SOPInstanceUID


def test_write_dicomseg_gives_the_same_bytes_at_any_time(series, tmp_path):
    folder, _, t2w = series
    label_map, _ = corner_labels(t2w, (0, 0, 0))
    contents = []
    for number in range(2):
        write(tmp_path / f"{number}.dcm", label_map, folder / "dicom")
        contents.append((tmp_path / f"{number}.dcm").read_bytes())
        time.sleep(1.1)
    assert contents[0] == contents[1]


def test_write_dicomseg_rejects_slices_that_are_not_those_of_the_label_map(series, tmp_path):
    folder, _, t2w = series
    moved = t2w.affine.copy()
    moved[:3, 3] += 0.4 * moved[:3, 0]
    label_map, _ = corner_labels(volume(np.asarray(t2w.dataobj), moved), (0, 0, 0))
    with pytest.raises(InputError, match="dicom: the slices are not those of the label map"):
        write(tmp_path / "seg.dcm", label_map, folder / "dicom")
    assert not (tmp_path / "seg.dcm").exists()


def test_write_dicomseg_refuses_a_series_without_a_frame_of_reference(series, tmp_path):
    folder, _, image = series
    for path in (folder / "dicom/T2w").iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.FrameOfReferenceUID
        dataset.save_as(tmp_path / path.name)
    with pytest.raises(InputError, match="the T2w series has no Frame of Reference UID"):
        write(tmp_path / "labels.dcm", volume(np.zeros(image.shape, np.uint8), image.affine), tmp_path)


def test_write_dicomseg_of_background_alone_describes_all_classes_with_empty_frames(series, tmp_path):
    folder, _, t2w = series
    write(tmp_path / "seg.dcm", volume(np.zeros(t2w.shape, np.uint8), t2w.affine), folder / "dicom")
    read = hd.seg.segread(tmp_path / "seg.dcm")
    names = [read.get_segment_description(number).segment_label for number in read.segment_numbers]
    assert names == TABLE.names[1:]
    assert read.NumberOfFrames == 3 * 5
    assert not read.pixel_array.any()
    assert read.get_volume().spatial_shape == (5, 64, 64)


def test_write_dicomseg_shows_no_warning_of_libraries(series, tmp_path):
    folder, _, t2w = series
    label_map, _ = corner_labels(t2w, (0, 0, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "seg.dcm", label_map, folder / "dicom")


def test_labels_on_slices_rejects_neighbouring_larger_and_uneven_grids(series):
    folder, _, t2w = series
    [slices] = [list(one.slices) for one in find_series(folder / "dicom/T2w")]
    labels = np.arange(t2w.dataobj.size, dtype=np.uint8).reshape(t2w.shape)
    found = labels_on_slices(volume(labels, t2w.affine), slices)
    assert sorted(found.ravel()) == sorted(labels.ravel())
    one_further = t2w.affine.copy()
    one_further[:3, 3] += one_further[:3, 2]
    for label_map, chosen, message in (
        (volume(labels, one_further), slices, "a corner lies .* mm away"),
        (volume(labels[:-1], t2w.affine), slices, r"\(5, 64, 64\) instead of \(5, 64, 63\)"),
        (volume(labels, t2w.affine), slices[:-1], r"\(4, 64, 64\) instead of \(5, 64, 64\)"),
        (volume(labels, t2w.affine), [slices[0], slices[1], slices[4]], "not evenly spaced"),
    ):
        with pytest.raises(ValueError, match=message):
            labels_on_slices(label_map, chosen)


@pytest.mark.parametrize("tilt", [0, 5e-4], ids=["perpendicular", "rounded"])
def test_labels_on_slices_accepts_axes_tilted_by_rounding(series, tilt):
    folder, _, t2w = series
    [slices] = [list(one.slices) for one in find_series(folder / "dicom/T2w")]
    affine = t2w.affine.copy()
    affine[:3, 1] += tilt * affine[:3, 0]
    labels = np.arange(t2w.dataobj.size, dtype=np.uint8).reshape(t2w.shape)
    expected = labels_on_slices(volume(labels, t2w.affine), slices)
    np.testing.assert_array_equal(labels_on_slices(volume(labels, affine), slices), expected)


def test_write_dicomseg_reads_slices_without_preamble(series, tmp_path):
    folder, _, t2w = series
    (tmp_path / "dicom").mkdir()
    for file in (folder / "dicom/T2w").glob("*.dcm"):
        bare = pydicom.Dataset()
        bare.update(pydicom.dcmread(file))
        bare.save_as(tmp_path / "dicom" / file.name, implicit_vr=True, little_endian=True)
    label_map, corners = corner_labels(t2w, (0, 1, 0))
    made = write(tmp_path / "seg.dcm", label_map, tmp_path / "dicom")
    assert places_of(made, 1) == pytest.approx(np.array([corners[0]]), abs=0.01)


def test_write_dicomseg_copies_no_text_of_the_series(series, tmp_path):
    folder, _, image = series
    shutil.copytree(folder / "dicom" / "T2w", tmp_path / "dicom")
    for file in (tmp_path / "dicom").iterdir():
        data = pydicom.dcmread(file)
        for name in (
            "PatientName",
            "StudyID",
            "StudyDescription",
            "SeriesDescription",
            "ImageComments",
            "SequenceName",
            "ScanOptions",
        ):
            setattr(data, name, "DULCINEA")
        data.ImageType = ["ORIGINAL", "PRIMARY", "DULCINEA"]
        block = data.private_block(0x0029, "DULCINEA", create=True)
        block.add_new(0x01, "LO", "DULCINEA")
        data._dict[pydicom.tag.Tag(0x00200011)] = RawDataElement(  # the series number
            pydicom.tag.Tag(0x00200011), "IS", 8, b"DULCINEA", 0, False, True
        )
        data.save_as(file)
        assert file.read_bytes().count(b"DULCINEA") > 8
    written = write(tmp_path / "labels.dcm", corner_labels(image, (0, 0, 0))[0], tmp_path / "dicom")
    assert written.SeriesNumber == 1000
    assert b"DULCINEA" not in (tmp_path / "labels.dcm").read_bytes()


@pytest.mark.parametrize("name", ["StudyInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID"])
def test_write_dicomseg_copies_no_name_in_place_of_an_identifier(series, tmp_path, name):
    folder, _, image = series
    shutil.copytree(folder / "dicom" / "T2w", tmp_path / "dicom")
    for file in (tmp_path / "dicom").iterdir():
        data = pydicom.dcmread(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            setattr(data, name, "DULCINEA")
            data.save_as(file)
    with pytest.raises(InputError, match=f"{name} of the T2w series is no identifier") as caught:
        write(tmp_path / "labels.dcm", corner_labels(image, (0, 0, 0))[0], tmp_path / "dicom")
    assert "DULCINEA" not in str(caught.value)
    assert not (tmp_path / "labels.dcm").exists()
