"""Segmentation of new patients: labels, uncertainty, orientations and flags."""

import keras
import nibabel as nib
import numpy as np
import pytest
import scipy.stats

from factories.bundle import MEAN, NETWORK, SIDE, STRIDE, small_bundle, small_network
from factories.orientation import ORIENTATIONS, affine_of
from lumbarseg.atomic_io import read_json, write_json
from lumbarseg.data.tiling import Tiling
from lumbarseg.deployment.bundle import Bundle
from lumbarseg.deployment.segmenter import (
    Segmentation,
    Segmenter,
    SessionImages,
    SessionOutputs,
    segment_session,
)
from lumbarseg.errors import InputError
from lumbarseg.evaluation.labelling import label_by_threshold
from lumbarseg.geometry import from_sagittal_view, sagittal_view, volume
from lumbarseg.imaging.normalisation import zscore
from lumbarseg.inference.uncertainty import MEASURES

SHAPE = (3, 40, 45)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter(Bundle(small_bundle(tmp_path_factory.mktemp("mean"), MEAN)))


def channels(seed=0):
    return np.random.default_rng(seed).normal(size=(*SHAPE, 2)).astype(np.float32)


STEP = np.log(3) / 255 / 2 + 1e-4  # half a step of a map, and rounding


def geometric_mean(scores):
    product = np.prod([np.asarray(one, np.float64) for one in scores], axis=0) ** (1 / len(scores))
    return product / product.sum(axis=-1, keepdims=True)


def nats(steps):
    return steps * (np.log(3) / 255)


def by_hand(image, networks):
    """Scores of a slice from a plain loop over patches: of the geometric mean of all networks, and of each network."""
    positions = Tiling(*image.shape[:2], SIDE, STRIDE).positions
    patches = np.stack([image[row : row + SIDE, column : column + SIDE] for row, column in positions])
    outputs = [keras.ops.convert_to_numpy(network(patches, training=False)) for network in networks]
    combined = []
    for scores in (geometric_mean(outputs), *outputs):
        total, times = np.zeros((*image.shape[:2], 3)), np.zeros(image.shape[:2])
        for (row, column), patch in zip(positions, scores, strict=True):
            total[row : row + SIDE, column : column + SIDE] += patch
            times[row : row + SIDE, column : column + SIDE] += 1
        combined.append((total / times[..., None]).astype(np.float32))
    return combined


def test_segmenter_agrees_with_a_plain_loop_over_patches(segmenter):
    images, fractions = channels(), []
    found = segmenter.segment(images, (1.0, 1.0), fractions.append)
    networks = list(segmenter.networks()[0].values())
    for number, image in enumerate(images):
        scores, *own = by_hand(image, networks)
        expected = label_by_threshold(scores, [0.3, 0.35, 0.25], 0)
        assert (found.labels[number] == expected).mean() > 0.995  # rounding may tip a pixel at a threshold
        assert nats(found.uncertainty["entropy"][number]) == pytest.approx(
            scipy.stats.entropy(scores, axis=-1), abs=STEP
        )
        disagreement = scipy.stats.entropy(np.mean(own, axis=0), axis=-1) - np.mean(
            [scipy.stats.entropy(one, axis=-1) for one in own], axis=0
        )
        assert nats(found.uncertainty["mutualinformation"][number]) == pytest.approx(disagreement, abs=STEP)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def require_labels(found, networks):
    assert found.labels.shape == SHAPE
    assert set(np.unique(found.labels)) <= {0, 1, 2}
    assert (found.uncertainty["mutualinformation"] == 0).all() == (networks == 1)


def test_segmenter_accepts_single_networks_labelled_by_score(tmp_path):
    require_labels(
        Segmenter(Bundle(small_bundle(tmp_path, NETWORK, labelling="MAP"))).segment(channels(), (1.0, 1.0)), 1
    )


def test_segmenter_accepts_meta_learners(stacked_bundle):
    require_labels(Segmenter(Bundle(stacked_bundle)).segment(channels(), (1.0, 1.0)), 2)


@pytest.mark.parametrize("labelling", ["MAP", "TH"])
def test_segmenter_refuses_networks_whose_scores_are_not_finite(tmp_path, labelling):
    network = small_network("UD")
    values = network.get_weights()
    values[-1][:] = 3e38
    values[-2][:] = 3e38
    network.set_weights(values)
    path = small_bundle(tmp_path, NETWORK, labelling=labelling, networks={"UD": network})
    with pytest.raises(InputError, match=r"small\.zip: the scores of the networks are not finite; copy the bundle"):
        Segmenter(Bundle(path)).segment(channels(), (1.0, 1.0))


def test_segmenter_refuses_networks_whose_weights_are_not_finite(tmp_path):
    network = small_network("UD")
    values = network.get_weights()
    values[0][0, 0, 0, 0] = np.nan
    network.set_weights(values)
    with pytest.raises(InputError, match=r"small\.zip: the networks cannot be used .*not finite"):
        Segmenter(Bundle(small_bundle(tmp_path, NETWORK, networks={"UD": network})))


def write_session(folder, codes, seed=0):
    """A session's aligned images in an orientation of the file, of which the view is always the same."""
    generator = np.random.default_rng(seed)
    affine = affine_of(codes)
    aligned, sidecars = {}, {}
    for contrast in ("T2w", "T1w"):
        view = generator.integers(1, 900, SHAPE).astype(np.int16)
        aligned[contrast], sidecars[contrast] = folder / f"{contrast}.nii.gz", folder / f"{contrast}.json"
        nib.save(volume(from_sagittal_view(view, affine), affine), aligned[contrast])
        write_json(sidecars[contrast], {"EchoTime": 0.1})
    report = {"fell_back_to_header": False, "reason": None, "unusual": False, "shift_length_mm": 1.0, "seconds": 2.5}
    write_json(folder / "registration.json", report)
    return SessionImages(aligned, sidecars, folder / "registration.json")


def outputs(folder):
    return SessionOutputs(folder / "dseg.nii.gz", folder / "h.nii.gz", folder / "mi.nii.gz", folder / "record.json")


@pytest.mark.parametrize("codes", ORIENTATIONS[::11])
def test_segment_session_places_labels_on_the_image_in_every_orientation(segmenter, tmp_path, codes):
    images = write_session(tmp_path, codes)
    record = segment_session(segmenter, images, outputs(tmp_path))
    t2w, t1w = (nib.load(images.aligned[contrast]) for contrast in ("T2w", "T1w"))
    labels, entropy = nib.load(tmp_path / "dseg.nii.gz"), nib.load(tmp_path / "h.nii.gz")
    assert labels.affine == pytest.approx(t2w.affine, abs=1e-4)
    assert labels.get_data_dtype() == np.uint8
    views = [zscore(sagittal_view(np.asarray(one.dataobj, np.float32), one.affine)) for one in (t2w, t1w)]
    found = segmenter.segment(np.stack(views, axis=-1), (1.0, 1.0))
    assert (sagittal_view(np.asarray(labels.dataobj), labels.affine) == found.labels).all()
    assert sagittal_view(np.asarray(entropy.dataobj), entropy.affine) == pytest.approx(
        nats(found.uncertainty["entropy"]), abs=1e-4
    )
    assert record == read_json(tmp_path / "record.json")
    assert record["experiment"] == "E2+Geo+TH"
    assert record["registration"]["shift_length_mm"] == 1.0
    assert "seconds" not in record["registration"]  # a clock in a result


def test_segment_session_flags_foreign_and_badly_registered_sessions(segmenter, tmp_path, monkeypatch):
    monkeypatch.setitem(segmenter.bundle.manifest, "ranges", {"slice spacing (mm)": [3.0, 3.5]})
    images = write_session(tmp_path, "LPS")
    report = {"fell_back_to_header": True, "reason": "shift of 40.0 mm", "unusual": True, "shift_length_mm": 40.0}
    write_json(tmp_path / "registration.json", report)
    record = segment_session(segmenter, images, outputs(tmp_path))
    assert record["flags"][0] == "outside the training range: slice spacing (mm) 4.4, training 3 to 3.5"
    assert record["flags"][1].startswith("T1w registration rejected (shift of 40.0 mm), header geometry used")
    assert record["outside_training_range"] == [{"name": "slice spacing (mm)", "value": 4.4, "low": 3.0, "high": 3.5}]
    assert (tmp_path / "dseg.nii.gz").exists()


def test_segment_session_flags_a_t1w_that_does_not_cover_t2w(segmenter, tmp_path):
    images = write_session(tmp_path, "LPS")
    remark = "T1w covers 52 % of T2w (not covered: left 12 mm, inferior 60 mm)"
    report = {
        "fell_back_to_header": False,
        "reason": None,
        "unusual": True,
        "shift_length_mm": 9.0,
        "remarks": [remark],
    }
    write_json(tmp_path / "registration.json", report)
    flags = segment_session(segmenter, images, outputs(tmp_path))["flags"]
    assert flags[:2] == [
        "T1w was moved by 9.0 mm, more than usual; check the registration",
        f"T1w registration: {remark}",
    ]


def test_segment_session_flags_results_without_any_class(segmenter, tmp_path, monkeypatch):
    nothing = Segmentation(np.zeros(SHAPE, np.uint8), {name: np.zeros(SHAPE, np.uint8) for name in MEASURES})
    monkeypatch.setattr(segmenter, "segment", lambda channels, spacing, on_progress: nothing)
    record = segment_session(segmenter, write_session(tmp_path, "LPS"), outputs(tmp_path))
    assert "no class found, all pixels are background; check the images" in record["flags"]
    assert record["mean_entropy"] is None
