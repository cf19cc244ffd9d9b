"""The pass over slices: put together from patches, labelled, counted, and written on the T2w grid."""

from types import SimpleNamespace

import keras
import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from test_geometry import ORIENTATIONS, SIZE, affine_of

from lumbarseg.config.study import Model
from lumbarseg.data.dataset import write_patches
from lumbarseg.data.tiling import Tiling, stitch
from lumbarseg.errors import InputError
from lumbarseg.evaluation.labelling import THRESHOLDS, threshold_curves
from lumbarseg.geometry import sagittal_view, volume
from lumbarseg.inference.prediction import label_sessions, score_histograms, write_labels
from lumbarseg.inference.session_files import load_ensemble, session_files
from lumbarseg.inference.sliding_window import SlidingWindowPredictor
from lumbarseg.models.build import build_network
from lumbarseg.models.ensemble import Ensemble
from lumbarseg.models.metadata import network_metadata, save_network

CLASSES, SIDE, STRIDE = 3, 32, 24
MODELS = [Model("U1", ("U1",)), Model("UD", ("UD",)), Model("E2+Arith", ("U1", "UD"), "Arith")]
# left-handed, slices along the first axis, rows from the feet up
AFFINE = np.array([[0, 0, 4.4, -20], [0.7, 0, 0, -80], [0, 0.6, 0, 30], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def ensemble():
    networks = {
        name: build_network(topology, side=SIDE, channels=1, classes=CLASSES, width=2, seed=3, name=name)
        for name, topology in {"U1": {}, "UD": {"output": "ds3"}}.items()
    }
    return networks, Ensemble(networks, MODELS, {})


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
        scores = [keras.ops.convert_to_numpy(network(patch, training=False)) for network in networks.values()]
        total[row : row + SIDE, column : column + SIDE] += np.mean(scores, axis=0)[0]
        times[row : row + SIDE, column : column + SIDE] += 1
    return total / times[..., None]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_slice_is_the_overlap_mean_of_its_patches(ensemble, session, batch_size):
    networks, members = ensemble
    images, _, (files,) = session
    found = np.full((*images.shape[:3], CLASSES), np.nan, np.float32)
    for block in SlidingWindowPredictor(members, batch_size).row_blocks(files.patches):
        found[block.number, block.rows] = block.scores("E2+Arith")
    for number, image in enumerate(images):
        assert found[number] == pytest.approx(by_hand(networks, image), abs=1e-5)


def test_a_batch_that_memory_does_not_hold_is_halved_and_no_row_is_given_twice(ensemble, session, monkeypatch, caplog):
    networks, members = ensemble
    images, _, (files,) = session
    predictor = SlidingWindowPredictor(members, 8)
    calls = []

    def forward(batch, all_together=predictor._forward[0]):
        calls.append(len(batch))
        # The first row of patches goes through; then the device has room for one patch only.
        if len(batch) > 1 and len(calls) > 1:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return all_together(batch)

    monkeypatch.setattr(predictor, "_forward", [forward, *predictor._forward[1:]])
    with caplog.at_level("INFO", "lumbarseg"):
        row_blocks = [
            (block.number, block.rows, block.scores("E2+Arith")) for block in predictor.row_blocks(files.patches)
        ]
    assert [record.message for record in caplog.records] == [
        "memory does not hold 2 patches at a time; going on with 1"
    ]
    assert [(number, rows.start, rows.stop) for number, rows, _ in row_blocks] == [
        (number, *rows) for number in range(3) for rows in ((0, 15), (15, 47))
    ]
    for number, rows, scores in row_blocks:
        assert scores == pytest.approx(by_hand(networks, images[number])[rows], abs=1e-5)


def test_a_patch_that_memory_does_not_hold_is_told_in_a_sentence(ensemble, session, monkeypatch):
    predictor = SlidingWindowPredictor(ensemble[1], 8)

    def forward(batch):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    monkeypatch.setattr(predictor, "_forward", [forward])
    with pytest.raises(InputError, match="expected one patch to fit into the device's memory"):
        next(predictor.row_blocks(session[2][0].patches))


@pytest.mark.parametrize(("side", "channels"), [(48, 1), (SIDE, 2)])
def test_patches_the_networks_were_not_trained_on_are_refused_before_any_runs(ensemble, tmp_path, side, channels):
    write_patches(
        np.zeros((1, 50, 50, channels), np.float32), np.zeros((1, 50, 50), np.uint8), side=side, stride=24,
        background=0, description=tmp_path / "a_patches.json", images_path=tmp_path / "i.b2nd",
        labels_path=tmp_path / "l.b2nd",
    )  # fmt: skip
    files = session_files([("p1", "01")], [tmp_path / "a_patches.json"], [tmp_path / "not_read.nii.gz"])
    for begin in (
        lambda: score_histograms(None, ensemble[1], files),
        lambda: label_sessions(None, ensemble[1], files, {}, ["MAP"], 0, 1, lambda *_: tmp_path),
    ):
        with pytest.raises(InputError, match=rf"expected patches of 32 × 32 × 1 .* found {side} × {side} × {channels}"):
            begin()


def load(folder, **changes):
    described = {"fold": 1, "channels": ["T2w"], "class_names": ["Background", "Vert", "Sacrum"]} | changes
    return load_ensemble([("U1", ["U1"], "")], ["U1"], [str(folder / "network.keras")], [], **described)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ["Background", "Vert", "Disc"]}, "list of classes is Background, Vert, Sacrum, expected Background, Vert, Disc"),
        ({"fold": 2}, "fold is 1, expected 2"),
        ({"channels": ["T2w", "T1w"]}, "list of channels is T2w, expected T2w, T1w"),
    ],
)  # fmt: skip
def test_networks_of_another_label_table_fold_or_contrast_are_refused(ensemble, tmp_path, changes, message):
    described = network_metadata("U1", 1, ["T2w"], ["Background", "Vert", "Sacrum"])
    save_network(ensemble[0]["U1"], tmp_path / "network.keras", described)
    assert load(tmp_path).networks == ["U1"]
    with pytest.raises(InputError, match=rf"network\.keras: the network's {message}"):
        load(tmp_path, **changes)


def test_another_network_under_a_network_s_name_and_what_is_none_are_refused(ensemble, tmp_path):
    described = network_metadata("UD", 1, ["T2w"], ["Background", "Vert", "Sacrum"])
    save_network(ensemble[0]["UD"], tmp_path / "network.keras", described)
    with pytest.raises(InputError, match="the network's model is UD, expected U1"):
        load(tmp_path)
    ensemble[0]["U1"].save(tmp_path / "network.keras")
    with pytest.raises(InputError, match="not a network trained by this workflow"):
        load(tmp_path)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 60), columns=st.integers(1, 60), side=st.integers(4, 20), part=st.floats(0.3, 1),
    batch=st.integers(1, 4),
)  # fmt: skip
def test_bands_of_a_slice_are_the_slice_put_together_from_its_patches_to_the_last_bit(rows, columns, side, part, batch):
    tiling = Tiling(rows, columns, side, max(1, int(part * side)))
    patches = np.random.default_rng(rows).random((tiling.count, side, side, CLASSES), np.float32)
    echo = SimpleNamespace(
        models=[MODELS[0]], networks=["U1"], classes=CLASSES, means=lambda features: {},
        forward_one=lambda network, images: {f"scores/{network}": images},
        finish=lambda model, features, mean: features[f"scores/{model.name}"],
    )  # fmt: skip
    predictor = SlidingWindowPredictor(echo, batch)
    row_blocks = [block.scores("U1") for block in predictor._bands_of_slice(patches, 0, tiling)]
    assert np.array_equal(np.concatenate(row_blocks), stitch(patches, tiling))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_labelled_voxel_is_found_again_at_its_world_point(tmp_path, codes):
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


def test_histograms_give_the_iou_at_each_threshold(ensemble, session):
    networks, members = ensemble
    images, truth, files = session
    histogram = score_histograms(SlidingWindowPredictor(members, 8), members, files)["E2+Arith"]
    scores = np.stack([by_hand(networks, image) for image in images])
    curves = threshold_curves(histogram)
    for place in (3, 6, 9):
        for tissue in range(CLASSES):
            passed, true = scores[..., tissue] >= THRESHOLDS[place], truth == tissue
            assert curves[tissue, place] == pytest.approx((passed & true).sum() / (passed | true).sum(), abs=1e-3)


def test_masks_lie_on_the_t2w_grid_and_counts_agree_with_them(ensemble, session, tmp_path):
    networks, members = ensemble
    images, truth, files = session
    thresholds = {model.name: np.full(CLASSES, 0.3, np.float32) for model in MODELS}
    found = label_sessions(
        SlidingWindowPredictor(members, 8), members, files, thresholds, ["MAP", "TH"], 0, 2,
        lambda experiment, file: tmp_path / experiment / f"{file.label}_dseg.nii.gz",
    )  # fmt: skip
    counts = found.counts
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


def test_calibration_is_summed_over_all_pixels_of_the_sessions(ensemble, session, tmp_path):
    networks, members = ensemble
    images, truth, files = session
    rows = label_sessions(
        SlidingWindowPredictor(members, 8),
        members,
        files,
        {},
        ["MAP"],
        0,
        2,
        lambda experiment, _: tmp_path / f"{experiment}.nii.gz",
    ).calibration
    scores = np.stack([by_hand(networks, image) for image in images])
    of_model = rows[(rows["model"] == "E2+Arith") & (rows["class_id"] == 1)]
    assert of_model["pixels"].sum() == truth.size
    assert of_model["true_pixels"].sum() == (truth == 1).sum()
    assert of_model["score_sum"].sum() == pytest.approx(scores[..., 1].sum(), rel=1e-4)
    squared = ((scores[..., 1] - (truth == 1)) ** 2).sum()
    assert of_model["squared_error_sum"].sum() == pytest.approx(squared, rel=1e-4)
    assert set(rows["fold"]) == {2}


def test_maps_of_uncertainty_lie_on_the_t2w_grid_in_nats(ensemble, session, tmp_path):
    networks, members = ensemble
    images, _, files = session
    label_sessions(
        SlidingWindowPredictor(members, 8), members, files, {}, ["MAP"], 0, 1, lambda experiment, _: tmp_path / f"{experiment}.nii.gz",
        "E2+Arith", lambda measure, file: tmp_path / f"{file.label}_{measure}.nii.gz",
    )  # fmt: skip
    both = np.stack([by_hand(networks, image) for image in images])
    own = [np.stack([by_hand({"one": network}, image) for image in images]) for network in networks.values()]
    entropies = [-(scores * np.log(scores)).sum(axis=-1) for scores in (both, *own)]
    step = np.log(CLASSES) / 255
    for measure, expected in (
        ("entropy", entropies[0]),
        ("mutualinformation", entropies[0] - (entropies[1] + entropies[2]) / 2),
    ):
        written = nib.load(tmp_path / f"sub-p1_ses-01_{measure}.nii.gz")
        assert np.allclose(written.affine, AFFINE)
        assert written.get_data_dtype() == np.uint8
        assert sagittal_view(written.get_fdata(), written.affine) == pytest.approx(expected, abs=0.51 * step)
