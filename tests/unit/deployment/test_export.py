"""Networks as ONNX give the scores that Keras gives."""

import json

import numpy as np
import onnxruntime
import pytest

from factories.bundle import STACKED, small_bundle
from factories.networks import narrow
from lumbarseg.deployment import export
from lumbarseg.deployment.bundle import Bundle
from lumbarseg.deployment.segmenter import Segmenter
from lumbarseg.errors import InputError
from lumbarseg.models.ensemble import Ensemble

LARGEST_DIFFERENCE = 1e-4


def run(path, *inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {one.name: value for one, value in zip(session.get_inputs(), inputs, strict=True)}
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, given), strict=True))


def test_every_network_and_the_head_of_a_bundle_have_the_same_scores(tmp_path):
    bundle, told = Bundle(small_bundle(tmp_path, STACKED)), []
    export.export_onnx(bundle, tmp_path / "onnx", told.append)
    assert told == ["U1.onnx", "UD.onnx", "meta_learner.onnx"]
    networks, meta_learners = Segmenter(bundle).networks()
    ensemble = Ensemble(networks, [STACKED], meta_learners)
    patches = np.random.default_rng(0).normal(size=(3, 32, 32, 2)).astype(np.float32)
    features = ensemble.forward(patches)
    found = {name: run(tmp_path / f"onnx/{name}.onnx", patches) for name in networks}
    for name, tensors in found.items():
        for kind, tensor in tensors.items():
            assert np.abs(tensor - np.asarray(features[f"{kind}/{name}"])).max() < LARGEST_DIFFERENCE
    scores = run(tmp_path / "onnx/meta_learner.onnx", *(found[name]["head_input"] for name in networks))["scores"]
    assert np.abs(scores - np.asarray(ensemble.combine(features)[STACKED.name])).max() < LARGEST_DIFFERENCE
    described = json.loads((tmp_path / "onnx/bundle.json").read_text())
    assert described["channels"] == ["T2w", "T1w"]
    assert described["thresholds"]["Int-Disc"] == 0.35
    assert "Not a medical device" in (tmp_path / "onnx/MODEL_CARD.md").read_text()


# Between them they have every kind of layer: dense blocks, PReLU and VGG, attention and several kernels, max pooling, FCN8.
@pytest.mark.parametrize("name", ["UQD", "UVDD", "UAMD", "UDD2", "FCN"])
def test_every_kind_of_topology_can_be_exported(tmp_path, name):
    network = narrow(name)
    # As after training: no bias, slope or moving average at the value it was started with.
    generator = np.random.default_rng(0)
    weights = [one + generator.uniform(0, 0.1, one.shape) if one.ndim < 4 else one for one in network.get_weights()]
    network.set_weights(weights)
    export._write(network, tmp_path / "one.onnx", ["scores"])
    patches = generator.normal(size=(2, 64, 64, 2)).astype(np.float32)
    difference = run(tmp_path / "one.onnx", patches)["scores"] - np.asarray(network(patches, training=False))
    assert np.abs(difference).max() < LARGEST_DIFFERENCE


def test_without_the_packages_a_sentence_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(
        InputError, match="found no no_such_package; install them: pip install --require-hashes -r envs/onnx"
    ):
        export.export_onnx(Bundle(small_bundle(tmp_path)), tmp_path / "onnx")
