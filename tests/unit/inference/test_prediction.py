"""Sessions labelled, counted and mapped: files and tables against scores computed by hand."""

import nibabel as nib
import numpy as np
import pytest

from factories.orientation import ORIENTATIONS, SIZE, affine_of
from lumbarseg.data.dataset import write_patches
from lumbarseg.errors import InputError
from lumbarseg.evaluation.labelling import THRESHOLDS, threshold_curves
from lumbarseg.geometry import sagittal_view, volume
from lumbarseg.inference.prediction import label_sessions, score_histograms, write_labels
from lumbarseg.inference.session_files import session_files

CLASSES = 3
EXPERIMENTS = [f"{model}+{labelling}" for model in ("U1", "UD", "E2+Arith") for labelling in ("MAP", "TH")]


@pytest.fixture(scope="module")
def labelled(predictor, session, tmp_path_factory):
    """The result of labelling the session with all experiments, and the folder of the files."""
    folder = tmp_path_factory.mktemp("labelled")
    thresholds = {model.name: np.full(CLASSES, 0.3, np.float32) for model in predictor.ensemble.models}
    result = label_sessions(
        predictor, session[2], thresholds, {name: folder / name for name in EXPERIMENTS}, labellings=["MAP", "TH"],
        background=0, fold=2, uncertain_model="E2+Arith", uncertainty_folder=folder / "maps",
    )  # fmt: skip
    return result, folder


@pytest.mark.parametrize(("side", "channels"), [(48, 1), (32, 2)])
def test_prediction_rejects_patches_of_another_size_before_any_network_runs(predictor, tmp_path, side, channels):
    write_patches(
        np.zeros((1, 50, 50, channels), np.float32), np.zeros((1, 50, 50), np.uint8), side=side, stride=24,
        background=0, description=tmp_path / "a_patches.json", images_path=tmp_path / "i.b2nd",
        labels_path=tmp_path / "l.b2nd",
    )  # fmt: skip
    files = session_files([("p1", "01")], [tmp_path / "a_patches.json"], [tmp_path / "not_read.nii.gz"])
    for predict in (
        lambda: score_histograms(predictor, files, background=0),
        lambda: label_sessions(predictor, files, {}, {}, labellings=["MAP"], background=0, fold=1),
    ):
        with pytest.raises(InputError, match=rf"patches of {side} × {side} × {channels} .* trained on 32 × 32 × 1; "):
            predict()


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_write_labels_keeps_the_world_point_of_a_voxel(tmp_path, codes):
    affine = affine_of(codes, tilt=9)
    shape = tuple(SIZE[code] for code in codes)
    reference = volume(np.zeros(shape, np.uint8), affine, (2, 1))
    voxel = np.array(shape) - [2, 1, 2]
    marked = np.zeros(shape, np.uint8)
    marked[tuple(voxel)] = 7
    write_labels(tmp_path / "mask.nii.gz", sagittal_view(marked, affine), reference)
    written = nib.load(tmp_path / "mask.nii.gz")
    (found,) = np.argwhere(np.asarray(written.dataobj) == 7)
    point = (affine @ [*voxel, 1])[:3]
    assert nib.affines.apply_affine(written.affine, found) == pytest.approx(point, abs=1e-4)
    assert nib.affines.apply_affine(written.get_qform(), found) == pytest.approx(point, abs=1e-4)
    assert np.allclose(written.affine, affine, atol=1e-5)
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (2, 1)
    assert written.shape == shape


def test_score_histograms_give_the_iou_at_each_threshold(predictor, session, scores):
    _, truth, files = session
    curves = threshold_curves(score_histograms(predictor, files, background=0)["E2+Arith"])
    for place in (3, 6, 9):
        for tissue in range(CLASSES):
            passed, true = scores["E2+Arith"][..., tissue] >= THRESHOLDS[place], truth == tissue
            assert curves[tissue, place] == pytest.approx((passed & true).sum() / (passed | true).sum(), abs=1e-3)


def test_label_sessions_writes_masks_on_the_t2w_grid(labelled, session, scores):
    _, folder = labelled
    reference = nib.load(session[2][0].mask)
    written = nib.load(folder / "E2+Arith+MAP/sub-p1_ses-01_dseg.nii.gz")
    assert np.allclose(written.affine, reference.affine)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 2)
    assert written.get_data_dtype() == np.uint8
    # Voxel (i, j, k) of the file is column i from behind, row j from below, slice k from the right.
    expected = scores["E2+Arith"].argmax(axis=-1)
    voxels = np.asarray(written.dataobj)
    for slice_, row, column in [(0, 0, 0), (2, 46, 39), (1, 10, 30)]:
        assert voxels[39 - column, 46 - row, 2 - slice_] == expected[slice_, row, column]


def test_label_sessions_counts_the_pixels_of_every_experiment(labelled, session, scores):
    counts, truth = labelled[0].counts, session[1]
    assert set(counts["experiment"]) == set(EXPERIMENTS)
    rows = counts[(counts["experiment"] == "E2+Arith+MAP") & (counts["slice"] == 1)].set_index("class_id")
    for tissue in range(CLASSES):
        found, true = scores["E2+Arith"][1].argmax(axis=-1) == tissue, truth[1] == tissue
        assert rows.loc[tissue, ["true_pixels", "predicted_pixels", "common_pixels"]].tolist() == [
            true.sum(), found.sum(), (true & found).sum(),
        ]  # fmt: skip


def test_label_sessions_sums_calibration_over_all_pixels(labelled, session, scores):
    rows, truth, of_class = labelled[0].calibration, session[1], scores["E2+Arith"][..., 1]
    of_model = rows[(rows["model"] == "E2+Arith") & (rows["class_id"] == 1)]
    assert of_model["pixels"].sum() == truth.size
    assert of_model["true_pixels"].sum() == (truth == 1).sum()
    assert of_model["score_sum"].sum() == pytest.approx(of_class.sum(), rel=1e-4)
    squared = ((of_class - (truth == 1)) ** 2).sum()
    assert of_model["squared_error_sum"].sum() == pytest.approx(squared, rel=1e-4)
    assert set(rows["fold"]) == {2}


def test_label_sessions_and_score_histograms_count_classes_that_masks_do_not_hold_as_background(
    predictor, session, scores, tmp_path
):
    files, unlabelled = session[2], [2]
    result = label_sessions(
        predictor, files, {}, {f"{model}+MAP": tmp_path / model for model in scores}, labellings=["MAP"], background=0, fold=2,
        unlabelled=unlabelled,
    )  # fmt: skip
    found = scores["E2+Arith"].argmax(axis=-1)
    rows = result.counts[(result.counts["experiment"] == "E2+Arith+MAP")].groupby("class_id")["predicted_pixels"].sum()
    assert rows.tolist() == [((found == 0) | (found == 2)).sum(), (found == 1).sum(), 0]
    written = nib.load(tmp_path / "E2+Arith/sub-p1_ses-01_dseg.nii.gz")
    assert (np.asarray(written.dataobj) == 2).sum() == (found == 2).sum() > 0
    sums = result.calibration[result.calibration["model"] == "E2+Arith"].groupby("class_id")["score_sum"].sum()
    assert sums[0] == pytest.approx(scores["E2+Arith"][..., [0, 2]].sum(), rel=1e-4)
    assert sums[2] == 0

    histogram = score_histograms(predictor, files, background=0, unlabelled=unlabelled)["E2+Arith"]
    complete = score_histograms(predictor, files, background=0)["E2+Arith"]
    assert np.array_equal(histogram[1], complete[1])
    merged = scores["E2+Arith"][..., 0] + scores["E2+Arith"][..., 2]
    assert histogram[0, :, 10:].sum() == pytest.approx((merged >= THRESHOLDS[9]).sum(), abs=2)
    assert histogram[2, :, 1:].sum() == 0


def test_label_sessions_writes_maps_of_uncertainty_in_nats(labelled, session, scores):
    _, folder = labelled
    reference = nib.load(session[2][0].mask)
    entropies = {model: -(of_model * np.log(of_model)).sum(axis=-1) for model, of_model in scores.items()}
    disagreement = entropies["E2+Arith"] - (entropies["U1"] + entropies["UD"]) / 2
    step = np.log(CLASSES) / 255
    for measure, expected in (("entropy", entropies["E2+Arith"]), ("mutualinformation", disagreement)):
        written = nib.load(folder / f"maps/sub-p1_ses-01_desc-{measure}_uncertainty.nii.gz")
        assert np.allclose(written.affine, reference.affine)
        assert written.get_data_dtype() == np.uint8
        assert sagittal_view(written.get_fdata(), written.affine) == pytest.approx(expected, abs=0.51 * step)
