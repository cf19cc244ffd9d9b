"""Export to ONNX: the same scores as with Keras."""

import json

import numpy as np
import onnxruntime
import pytest

from factories.bundle import STACKED
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


def test_export_onnx_keeps_the_scores_of_networks_and_meta_learner(tmp_path, stacked_bundle):
    bundle, written = Bundle(stacked_bundle), []
    export.export_onnx(bundle, tmp_path / "onnx", written.append)
    assert written == ["U1.onnx", "UD.onnx", "meta_learner.onnx"]
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


# Together they have every kind of block and layer of the config's topologies.
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("UAMD", {"encoder": "dense", "activation": "prelu"}),
        ("UDD2", {"encoder": "vgg"}),
        ("FCN", {}),
    ],
)
def test_export_onnx_writes_every_kind_of_layer(tmp_path, name, changes):
    network = narrow(name, side=32, **changes)
    # As after training: no bias, slope or moving average at its initial value.
    generator = np.random.default_rng(0)
    weights = [one + generator.uniform(0, 0.1, one.shape) if one.ndim < 4 else one for one in network.get_weights()]
    network.set_weights(weights)
    export._write(network, tmp_path / "one.onnx", ["scores"])
    patches = generator.normal(size=(2, 32, 32, 2)).astype(np.float32)
    difference = run(tmp_path / "one.onnx", patches)["scores"] - np.asarray(network(patches, training=False))
    assert np.abs(difference).max() < LARGEST_DIFFERENCE


def test_export_onnx_names_missing_packages(tmp_path, monkeypatch, stacked_bundle):
    monkeypatch.setattr(export, "_PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(
        InputError, match="no_such_package not installed; run pip install --require-hashes -r envs/onnx"
    ):
        export.export_onnx(Bundle(stacked_bundle), tmp_path / "onnx")
