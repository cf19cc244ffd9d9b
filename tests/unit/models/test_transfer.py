"""Start from the weights of another network."""

import numpy as np
import pytest

from lumbarseg.models.build import build_network
from lumbarseg.models.transfer import copy_weights


def network(seed, topology=None, **changes):
    shape = {"side": 32, "channels": 2, "classes": 3, "base_filters": 2} | changes
    return build_network(topology or {}, **shape, seed=seed, name="U1")


def test_copy_weights_makes_two_networks_of_one_kind_the_same():
    source, target = network(1), network(2)
    images = np.random.default_rng(1).normal(size=(1, 32, 32, 2)).astype(np.float32)
    assert not np.array_equal(source(images), target(images))
    assert copy_weights(source, target) == []
    assert np.array_equal(source(images), target(images))


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"classes": 5}, "classifier"), ({"channels": 1}, "conv"), ({"topology": {"output": "ds3"}}, "")],
)
def test_copy_weights_names_the_layers_that_do_not_fit(changes, part):
    source, target = network(1), network(2, **changes)
    before = {layer.name: layer.get_weights() for layer in target.layers}
    fresh = copy_weights(source, target)
    weighted = [layer for layer in target.layers if layer.get_weights()]
    assert 0 < len(fresh) < len(weighted)
    assert part in " ".join(fresh)
    copied = {layer.name: layer.get_weights() for layer in source.layers}
    for layer in weighted:
        expected = before if layer.name in fresh else copied
        assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), expected[layer.name], strict=True))
    if "topology" not in changes:
        assert len(fresh) == 1
