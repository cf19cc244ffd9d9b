"""DICOM-SEG: labels come back at the same place in the world, whatever the order of slices and axes, and without a name."""

import warnings

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest

from factories.orientation import ORIENTATIONS
from lumbarseg.deployment.dicomseg import sample_planes, write_dicomseg
from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, volume
from lumbarseg.imaging.conversion import convert
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
def test_a_corner_voxel_comes_back_at_its_place_from_dicom_seg_and_nifti_in_every_orientation(series, tmp_path, codes):
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
def test_the_order_of_the_files_does_not_matter(series, tmp_path, order):
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


def test_it_refers_to_the_slices_of_the_t2w_series_and_not_of_the_other_on_the_same_grid(series, tmp_path):
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


def test_a_reader_finds_the_segments_with_names_codes_and_colours(series, tmp_path):
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


def test_nothing_of_the_persons_identity_is_in_any_byte(series, tmp_path):
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


def test_the_same_labels_keep_their_identity_and_others_get_another(series, tmp_path):
    folder, _, t2w = series
    label_map, _ = corner_labels(t2w, (0, 0, 0))
    uids = [write(tmp_path / f"{n}.dcm", label_map, folder / "dicom").SOPInstanceUID for n in range(2)]
    other, _ = corner_labels(t2w, (1, 0, 0))
    assert uids[0] == uids[1] != write(tmp_path / "2.dcm", other, folder / "dicom").SOPInstanceUID


def test_a_series_that_is_not_the_images_and_a_label_map_of_background_are_refused(series, tmp_path):
    folder, _, t2w = series
    moved = t2w.affine.copy()
    moved[:3, 3] += 0.4 * moved[:3, 0]
    label_map, _ = corner_labels(volume(np.asarray(t2w.dataobj), moved), (0, 0, 0))
    with pytest.raises(InputError, match="expected the slices on which the label map lies, found others"):
        write(tmp_path / "seg.dcm", label_map, folder / "dicom")
    with pytest.raises(InputError, match="found background alone"):
        write(tmp_path / "seg.dcm", volume(np.zeros(t2w.shape, np.uint8), t2w.affine), folder / "dicom")
    assert not (tmp_path / "seg.dcm").exists()


def test_no_warning_of_a_library_reaches_the_user(series, tmp_path):
    folder, _, t2w = series
    label_map, _ = corner_labels(t2w, (0, 0, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "seg.dcm", label_map, folder / "dicom")


def test_planes_beyond_a_volume_or_between_its_voxels_are_no_part_of_it():
    voxels, affine = np.arange(24).reshape(2, 3, 4), np.eye(4)
    plane = np.eye(4)
    assert (sample_planes(voxels, affine, [(plane, 2, 3)])[0] == voxels[:, :, 0]).all()
    for shift in ([0, 0, 4, 0], [0, 0.5, 0, 0]):
        moved = plane.copy()
        moved[:, 3] += shift
        with pytest.raises(ValueError, match="plane"):
            sample_planes(voxels, affine, [(moved, 2, 3)])
