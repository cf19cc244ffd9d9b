"""The pass over slices: put together from patches, labelled, counted, and written on the T2w grid."""

import keras
import nibabel as nib
import numpy as np
import pytest

from lumbarseg.committee import Committee, arithmetic_mean
from lumbarseg.inference import SlicePass, label_sessions, score_histograms, session_files, write_labels
from lumbarseg.labelling import THRESHOLDS, threshold_curves
from lumbarseg.networks.build import build_network
from lumbarseg.patches import Tiling
from lumbarseg.patchset import write_patches
from lumbarseg.study import Model

CLASSES, SIDE, STRIDE = 3, 32, 24
MODELS = [Model("U1", ("U1",)), Model("UD", ("UD",)), Model("E2+Arith", ("U1", "UD"), "Arith")]
# left-handed, slices along the first axis, rows from the feet up
AFFINE = np.array([[0, 0, 4.4, -20], [0.7, 0, 0, -80], [0, 0.6, 0, 30], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def committee():
    networks = {
        name: build_network(topology, side=SIDE, channels=1, classes=CLASSES, width=2, seed=3, name=name)
        for name, topology in {"U1": {}, "UD": {"output": "ds3"}}.items()
    }
    return networks, Committee(networks, MODELS, {})


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    generator = np.random.default_rng(0)
    images = generator.normal(size=(3, 47, 40, 1)).astype(np.float32)
    truth = generator.integers(0, CLASSES, (3, 47, 40)).astype(np.uint8)
    reference = nib.Nifti1Image(np.zeros((40, 47, 3), np.uint8), AFFINE)
    reference.set_qform(AFFINE, 1)
    reference.set_sform(AFFINE, 2)
    write_labels(folder / "mask.nii.gz", truth, reference)
    write_patches(
        images, truth, side=SIDE, stride=STRIDE, background=0, description=folder / "a_patches.json",
        images_path=folder / "a_images.b2nd", labels_path=folder / "a_labels.b2nd",
    )  # fmt: skip
    files = session_files([("p1", "01")], [folder / "a_patches.json"], [folder / "mask.nii.gz"])
    return images, truth, files


def by_hand(networks, image):
    """Scores of a slice from a plain loop over patches, without the project's own putting together."""
    total, times = np.zeros((*image.shape[:2], CLASSES)), np.zeros(image.shape[:2])
    for row, column in Tiling(*image.shape[:2], SIDE, STRIDE).positions:
        patch = image[None, row : row + SIDE, column : column + SIDE]
        scores = arithmetic_mean([network(patch, training=False) for network in networks.values()])
        total[row : row + SIDE, column : column + SIDE] += keras.ops.convert_to_numpy(scores)[0]
        times[row : row + SIDE, column : column + SIDE] += 1
    return total / times[..., None]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_slice_is_the_overlap_mean_of_its_patches(committee, session, batch_size):
    networks, members = committee
    images, _, (files,) = session
    for number, scores in SlicePass(members, batch_size).slices(files.patches):
        assert scores["E2+Arith"] == pytest.approx(by_hand(networks, images[number]), abs=1e-5)
    assert number == 2


def test_histograms_give_the_iou_at_each_threshold(committee, session):
    networks, members = committee
    images, truth, files = session
    histogram = score_histograms(SlicePass(members, 8), members, files)["E2+Arith"]
    scores = np.stack([by_hand(networks, image) for image in images])
    curves = threshold_curves(histogram)
    for place in (3, 6, 9):
        for tissue in range(CLASSES):
            passed, true = scores[..., tissue] >= THRESHOLDS[place], truth == tissue
            assert curves[tissue, place] == pytest.approx((passed & true).sum() / (passed | true).sum(), abs=1e-3)


def test_masks_lie_on_the_t2w_grid_and_counts_agree_with_them(committee, session, tmp_path):
    networks, members = committee
    images, truth, files = session
    thresholds = {model.name: np.full(CLASSES, 0.3, np.float32) for model in MODELS}
    counts = label_sessions(
        SlicePass(members, 8), members, files, thresholds, ["MAP", "TH"], 0, 2,
        lambda experiment, file: tmp_path / experiment / f"{file.label}_dseg.nii.gz",
    )  # fmt: skip
    assert set(counts["experiment"]) == {f"{model.name}+{labelling}" for model in MODELS for labelling in ("MAP", "TH")}
    written = nib.load(tmp_path / "E2+Arith+MAP/sub-p1_ses-01_dseg.nii.gz")
    assert np.allclose(written.affine, AFFINE)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 2)
    assert written.get_data_dtype() == np.uint8
    # Voxel (i, j, k) of the file lies at column i from behind, row j from below, slice k from the right… by hand:
    expected = np.stack([by_hand(networks, image) for image in images]).argmax(axis=-1)
    voxels = np.asarray(written.dataobj)
    for slice_, row, column in [(0, 0, 0), (2, 46, 39), (1, 10, 30)]:
        assert voxels[39 - column, 46 - row, 2 - slice_] == expected[slice_, row, column]
    rows = counts[(counts["experiment"] == "E2+Arith+MAP") & (counts["slice"] == 1)].set_index("class_id")
    for tissue in range(CLASSES):
        found, true = expected[1] == tissue, truth[1] == tissue
        assert rows.loc[tissue, ["true_pixels", "predicted_pixels", "common_pixels"]].tolist() == [
            true.sum(), found.sum(), (true & found).sum(),
        ]  # fmt: skip
