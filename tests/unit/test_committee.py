"""A committee: every network forward once, and every way to combine their outputs."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lumbarseg.committee import Committee, arithmetic_mean, build_head, geometric_mean, head_inputs
from lumbarseg.errors import InputError
from lumbarseg.networks.build import build_network
from lumbarseg.study import HEADS, Model

CLASSES, SIDE, WIDTH = 3, 16, 4


@pytest.fixture(scope="module")
def networks():
    return {
        name: build_network(topology, side=SIDE, channels=2, classes=CLASSES, width=WIDTH, seed=1, name=name)
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


@given(scores)
def test_the_arithmetic_mean_is_that_of_a_plain_loop(raw):
    expected = np.array([[sum(raw[r, i, c] for r in range(4)) / 4 for c in range(5)] for i in range(2)])
    assert keras.ops.convert_to_numpy(arithmetic_mean(list(raw))) == pytest.approx(expected, abs=1e-6)


@given(scores)
def test_the_geometric_mean_is_the_root_of_the_product_made_to_sum_one(raw):
    root = np.prod(raw.astype(float), axis=0) ** (1 / 4)
    expected = root / root.sum(axis=-1, keepdims=True)
    assert keras.ops.convert_to_numpy(geometric_mean(list(raw))) == pytest.approx(expected, abs=1e-5)


def test_a_score_of_nought_does_not_break_the_geometric_mean():
    found = keras.ops.convert_to_numpy(geometric_mean([np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])]))
    assert found.sum() == pytest.approx(1)
    assert 0 < found[0, 1] < 0.001


def test_a_network_is_a_committee_of_one(networks, patches):
    committee = Committee(networks, [Model("UD", ("UD",))], {})
    found = committee.combine(committee.see(patches))["UD"]
    assert np.array_equal(found, networks["UD"](patches, training=False))


@pytest.mark.parametrize("combiner", HEADS)
def test_a_head_merges_as_its_letters_say(networks, patches, combiner):
    model = stacks(combiner, "U1", "UD")
    head = build_head(model, side=SIDE, classes=CLASSES, width=WIDTH, channels=5, seed=1)
    committee = Committee(networks, [model], {model.name: head})
    features = committee.see(patches)
    inputs = [keras.ops.convert_to_numpy(features[name]) for name in head_inputs(model)]
    assert inputs[0].shape[-1] == (CLASSES if combiner[0] == "N" else WIDTH)
    merged = {"A": lambda: sum(inputs) / 2, "C": lambda: np.concatenate(inputs, axis=-1), "S": lambda: sum(inputs)}[
        combiner[1]
    ]()
    (kernel, bias), (last, offset) = (head.get_layer(name).get_weights() for name in ("meta_learner", "classifier"))
    logits = np.maximum(merged @ kernel[0, 0] + bias, 0) @ last[0, 0] + offset
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected = exponents / exponents.sum(axis=-1, keepdims=True)
    found = keras.ops.convert_to_numpy(committee.combine(features)[model.name])
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.dtype == np.float32


def test_each_network_runs_forward_once_for_all_models(networks, patches):
    models = [Model(name, (name,)) for name in networks]
    models += [stacks(mean, *members) for mean in ("Arith", "Geo") for members in (("U1", "UD"), tuple(networks))]
    committee = Committee(networks, models, {})
    features = committee.see(patches)
    assert len(features) == 2 * len(networks)
    assert set(committee.combine(features)) == {model.name for model in models}


def test_members_of_another_patch_size_or_label_table_are_refused(networks):
    other = build_network({}, side=32, channels=2, classes=CLASSES, width=WIDTH, seed=1, name="U1")
    with pytest.raises(InputError, match="one patch size and label table"):
        Committee({**networks, "U1": other}, [], {})


def test_an_ensemble_of_an_untrained_network_or_head_is_refused(networks):
    with pytest.raises(InputError, match="everything E2\\+Arith is made of, found no trained UX"):
        Committee(networks, [stacks("Arith", "U1", "UX")], {})
    with pytest.raises(InputError, match="everything E2\\+NAD is made of, found no trained head"):
        Committee(networks, [stacks("NAD", "U1", "UD")], {})


def test_a_head_of_networks_of_another_width_is_refused(networks):
    model = stacks("TAD", "U1", "UD")
    head = build_head(model, side=SIDE, classes=CLASSES, width=WIDTH + 1, channels=5, seed=1)
    with pytest.raises(InputError, match=r"2 networks with 16 × 16 × 4 and 3 classes, found one for .* 16 × 16 × 5"):
        Committee(networks, [model], {model.name: head})
