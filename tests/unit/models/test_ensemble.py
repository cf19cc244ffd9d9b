"""Ensembles: one forward pass of each network, and every way to combine the outputs."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lumbarseg.config.study import META_LEARNERS, Model
from lumbarseg.errors import InputError
from lumbarseg.models.build import build_network
from lumbarseg.models.ensemble import Ensemble, averages, build_meta_learner, logarithms, meta_learner_inputs

CLASSES, SIDE, WIDTH = 3, 16, 4


@pytest.fixture(scope="module")
def networks():
    return {
        name: build_network(topology, side=SIDE, channels=2, classes=CLASSES, base_filters=WIDTH, seed=1, name=name)
        for name, topology in {"U1": {}, "UD": {"output": "ds3"}, "UQ": {"encoder": "dense"}}.items()
    }


@pytest.fixture(scope="module")
def patches():
    return np.random.default_rng(0).normal(size=(2, SIDE, SIDE, 2)).astype(np.float32)


def stacks(combiner, *members):
    return Model(f"E{len(members)}+{combiner}", members, combiner)


scores = arrays.arrays(np.float32, (4, 2, 5), elements=st.floats(0.015625, 1, width=32)).map(
    lambda raw: raw / raw.sum(axis=-1, keepdims=True)
)


class Scripted(Ensemble):
    """An ensemble without networks, whose features are given."""

    def __init__(self, models):
        self.models = models


def combined(raw, combiner, members=None):
    """Return the scores of an ensemble for the networks' scores, (networks, pixels, classes); of all networks or of some."""
    names = [f"N{place}" for place in range(len(raw))]
    model = Model("E+" + combiner, tuple(members or names), combiner)
    features = {f"scores/{name}": one for name, one in zip(names, raw, strict=True)}
    return keras.ops.convert_to_numpy(Scripted([model]).combine(features)[model.name])


@given(scores)
def test_combine_arith_equals_a_plain_loop(raw):
    expected = np.array([[sum(raw[r, i, c] for r in range(4)) / 4 for c in range(5)] for i in range(2)])
    assert combined(raw, "Arith") == pytest.approx(expected, abs=1e-6)
    assert combined(raw, "Arith", ["N1", "N3"]) == pytest.approx((raw[1] + raw[3]) / 2, abs=1e-6)


@given(scores)
def test_combine_geo_is_the_normalised_root_of_the_product(raw):
    root = np.prod(raw.astype(float), axis=0) ** (1 / 4)
    assert combined(raw, "Geo") == pytest.approx(root / root.sum(axis=-1, keepdims=True), abs=1e-5)
    root = np.prod(raw[[0, 2]].astype(float), axis=0) ** (1 / 2)
    assert combined(raw, "Geo", ["N0", "N2"]) == pytest.approx(root / root.sum(axis=-1, keepdims=True), abs=1e-5)


def test_combine_geo_handles_scores_of_zero():
    found = combined(np.array([[[1.0, 0.0]], [[0.5, 0.5]]], np.float32), "Geo")
    assert found.sum() == pytest.approx(1)
    assert 0 < found[0, 1] < 0.001
    assert np.isfinite(logarithms(np.zeros(3, np.float32))).all()


def test_averages_equal_the_means_computed_one_by_one():
    generator = np.random.default_rng(0)
    tensors = {name: generator.random((2, 3, 4), np.float32) for name in "abcd"}
    wanted = [("a", "b"), ("b", "c", "d"), ("a", "b"), ("d",)]
    found = averages(tensors, wanted)
    assert list(found) == [("a", "b"), ("b", "c", "d"), ("d",)]
    for names, mean in found.items():
        assert keras.ops.convert_to_numpy(mean) == pytest.approx(np.mean([tensors[n] for n in names], axis=0), abs=1e-6)
    assert averages(tensors, []) == {}


def test_combine_flip_is_the_mean_over_original_and_flipped_images(networks, patches):
    model = Model("E2+Flip", ("U1", "UD"), "Flip")
    ensemble = Ensemble(networks, [model], {})
    found = keras.ops.convert_to_numpy(ensemble.combine(ensemble.forward(patches))["E2+Flip"])
    four = []
    for name in model.networks:
        four.append(keras.ops.convert_to_numpy(networks[name](patches, training=False)))
        four.append(keras.ops.convert_to_numpy(networks[name](patches[:, :, ::-1], training=False))[:, :, ::-1])
    assert found == pytest.approx(np.mean(four, axis=0), abs=1e-6)
    assert np.abs(found - (four[0] + four[2]) / 2).max() > 1e-4


def test_forward_flips_images_only_for_networks_of_flip_models(networks, patches):
    ensemble = Ensemble(networks, [Model("E2+Flip", ("U1", "UD"), "Flip"), stacks("Arith", "U1", "UQ")], {})
    assert {name for name in ensemble.forward(patches) if name.startswith("flipped")} == {
        "flipped_scores/U1",
        "flipped_scores/UD",
    }


def test_combine_of_a_single_network_returns_its_scores(networks, patches):
    ensemble = Ensemble(networks, [Model("UD", ("UD",))], {})
    found = ensemble.combine(ensemble.forward(patches))["UD"]
    assert np.array_equal(found, networks["UD"](patches, training=False))


@pytest.mark.parametrize("combiner", META_LEARNERS)
def test_combine_stacking_merges_as_the_letters_of_the_combiner_say(networks, patches, combiner):
    model = stacks(combiner, "U1", "UD")
    meta_learner = build_meta_learner(model, side=SIDE, classes=CLASSES, base_filters=WIDTH, channels=5, seed=1)
    ensemble = Ensemble(networks, [model], {model.name: meta_learner})
    features = ensemble.forward(patches)
    inputs = [keras.ops.convert_to_numpy(features[name]) for name in meta_learner_inputs(model)]
    assert inputs[0].shape[-1] == (CLASSES if combiner[0] == "N" else WIDTH)
    merged = {"A": lambda: sum(inputs) / 2, "C": lambda: np.concatenate(inputs, axis=-1), "S": lambda: sum(inputs)}[
        combiner[1]
    ]()
    (kernel, bias), (last, offset) = (meta_learner.get_layer(name).get_weights() for name in ("hidden", "classifier"))
    logits = np.maximum(merged @ kernel[0, 0] + bias, 0) @ last[0, 0] + offset
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected = exponents / exponents.sum(axis=-1, keepdims=True)
    found = keras.ops.convert_to_numpy(ensemble.combine(features)[model.name])
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.dtype == np.float32


def test_combine_uses_one_set_of_features_for_all_models(networks, patches):
    models = [Model(name, (name,)) for name in networks]
    models += [stacks(mean, *members) for mean in ("Arith", "Geo") for members in (("U1", "UD"), tuple(networks))]
    ensemble = Ensemble(networks, models, {})
    features = ensemble.forward(patches)
    assert len(features) == 2 * len(networks)
    assert set(ensemble.combine(features)) == {model.name for model in models}


def test_ensemble_rejects_networks_of_different_patch_sizes(networks):
    other = build_network({}, side=32, channels=2, classes=CLASSES, base_filters=WIDTH, seed=1, name="U1")
    with pytest.raises(InputError, match="differ in patch size"):
        Ensemble({**networks, "U1": other}, [], {})


def test_ensemble_rejects_a_missing_network_or_meta_learner(networks):
    with pytest.raises(InputError, match=r"E2\+Arith needs UX, which is not trained"):
        Ensemble(networks, [stacks("Arith", "U1", "UX")], {})
    with pytest.raises(InputError, match=r"E2\+NAD needs its meta-learner, which is not trained"):
        Ensemble(networks, [stacks("NAD", "U1", "UD")], {})


def test_ensemble_rejects_a_meta_learner_for_other_base_filters(networks):
    model = stacks("TAD", "U1", "UD")
    meta_learner = build_meta_learner(model, side=SIDE, classes=CLASSES, base_filters=WIDTH + 1, channels=5, seed=1)
    with pytest.raises(
        InputError, match=r"trained for 2 networks with 16 × 16 × 5 .* has 2 networks with 16 × 16 × 4 and 3 classes"
    ):
        Ensemble(networks, [model], {model.name: meta_learner})
