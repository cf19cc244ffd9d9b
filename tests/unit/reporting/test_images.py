"""Slices that figures show, read from the images of a study."""

from collections import namedtuple

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from lumbarseg.reporting.images import SliceReader, read_examples, read_session, worst_slices

Slice = namedtuple("Slice", ["fold", "participant_id", "session_id", "slice"])
# Sagittal, so that the sagittal view has the slices of the file: to the patient's left, rows to inferior, columns to posterior.
AFFINE = np.array([[-4.0, 0, 0, 0], [0, 0, -1.0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])


def save(path, voxels):
    nib.save(nib.Nifti1Image(voxels, AFFINE), path)
    return str(path)


@pytest.fixture
def volume():
    return np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5)


@pytest.fixture
def images(tmp_path, volume):
    """T2w, T1w, ground truth, and in a folder a predicted mask and its maps of uncertainty."""
    for name, values in (
        ("sub-p1_ses-01_dseg", volume % 2),
        ("sub-p1_ses-01_desc-entropy_uncertainty", volume * 2),
        ("sub-p1_ses-01_desc-mutualinformation_uncertainty", volume * 3),
    ):
        save(tmp_path / f"{name}.nii.gz", values.astype(np.int16))
    names = {"t2w": volume, "t1w": volume + 1000, "truth": volume % 3}
    return {name: save(tmp_path / f"{name}.nii.gz", values.astype(np.int16)) for name, values in names.items()}


def reader(images, folder, with_t1w=True, unlabelled=()):
    t1w = [images["t1w"]] if with_t1w else []
    masks = {("U1+TH", 2): str(folder)}
    return SliceReader(
        [("p1", "01")], [images["t2w"]], t1w, [images["truth"]], masks, background=0, unlabelled=unlabelled
    )


def test_slice_reader_reads_a_slice_of_all_images_of_its_fold(images, tmp_path, volume):
    case = reader(images, tmp_path).case("best", Slice(2, "p1", "01", 1), ["U1+TH"])
    np.testing.assert_array_equal(case.t2w, volume[1])
    np.testing.assert_array_equal(case.t1w, volume[1] + 1000)
    np.testing.assert_array_equal(case.truth, volume[1] % 3)
    np.testing.assert_array_equal(case.predictions["U1+TH"], volume[1] % 2)
    assert (case.name, case.spacing) == ("best", (0.5, 1.0))
    assert reader(images, tmp_path, with_t1w=False).case("best", Slice(2, "p1", "01", 1), []).t1w is None


def test_slice_reader_shows_classes_that_masks_do_not_hold_as_background(images, tmp_path):
    case = reader(images, tmp_path, unlabelled=[1]).case("best", Slice(2, "p1", "01", 1), ["U1+TH"])
    assert not case.predictions["U1+TH"].any()


def test_slice_reader_reads_maps_of_uncertainty(images, tmp_path, volume):
    found = reader(images, tmp_path).uncertain("worst", Slice(2, "p1", "01", 3), "U1+TH", str(tmp_path))
    np.testing.assert_array_equal(found.entropy, volume[3] * 2)
    np.testing.assert_array_equal(found.mutual_information, volume[3] * 3)
    np.testing.assert_array_equal(found.prediction, volume[3] % 2)


def test_worst_slices_names_patient_slice_and_fold():
    rows = pd.DataFrame({"experiment": ["A", "B", "A", "A"], "participant_id": list("wxyz"), "slice": 4, "fold": 2})
    assert [name for name, _ in worst_slices(rows, "A", 2)] == ["w, slice 4, fold 2", "y, slice 4, fold 2"]


def test_read_examples_takes_the_middle_and_a_lateral_slice(images, volume):
    t1w = [images["t1w"], images["t1w"]]
    examples, steps = read_examples(images["t2w"], t1w, [images["t2w"], images["t1w"]], images["truth"], 4, 2)
    np.testing.assert_array_equal(examples[0].t2w, volume[2])
    np.testing.assert_array_equal(examples[1].t1w, volume[1] + 1000)
    np.testing.assert_array_equal(steps.t1w_before, volume[2] + 1000)  # one grid: nothing moves
    np.testing.assert_array_equal(steps.normalised_t1w, volume[2] + 1000)
    assert (list(steps.row_starts), list(steps.column_starts), steps.side) == ([0, 2], [0, 1], 4)


def test_read_examples_works_without_t1w(images):
    examples, steps = read_examples(images["t2w"], [], [images["t2w"]], images["truth"], 4, 2)
    assert examples[0].t1w is steps.t1w_before is steps.t1w_after is steps.normalised_t1w is None


def test_read_session_has_no_labels_without_a_mask(images, volume):
    session = read_session(images["t2w"], [images["t1w"], images["t1w"]], [])
    assert session.labels is None
    np.testing.assert_array_equal(session.t2w, volume)
    np.testing.assert_array_equal(session.t1w_before, session.t1w_after)
    assert read_session(images["t2w"], [], [images["truth"]]).labels.dtype == np.uint8
