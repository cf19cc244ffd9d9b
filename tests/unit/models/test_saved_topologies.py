"""Networks of every kind of layer, saved and loaded again."""

import numpy as np
import pytest

from factories.networks import array, narrow, patches_and_labels
from lumbarseg.models.build import with_head_input
from lumbarseg.models.metadata import load_network, network_metadata, save_network

# TensorFlow's variables and NumPy 2, within Keras
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("name", ["UAMD", "UVDD", "UQD", "FCN"])  # every kind of layer there is
def test_load_network_returns_the_same_scores_as_the_saved_network(name, tmp_path):
    patches, _ = patches_and_labels(side=32)
    network = narrow(name, side=32)
    network(10 * patches + 1, training=True)  # moves the averages of batch normalisation
    file, who = tmp_path / "network.keras", network_metadata(name, 1, ["T2w", "T1w"], ["Background", "Vert"])
    save_network(network, file, who)
    loaded = load_network(file, who)
    both = with_head_input(loaded)
    assert {id(weight) for weight in both.weights} == {id(weight) for weight in loaded.weights}
    np.testing.assert_array_equal(array(both(patches)[1]), array(network(patches)))


def test_save_network_writes_the_same_bytes_for_the_same_seed_on_any_day(tmp_path, monkeypatch):
    files = [tmp_path / f"{number}.keras" for number in (1, 2)]
    save_network(narrow("UAMD", seed=7), files[0], {"fold": 1})
    narrow("FCN", seed=7)
    monkeypatch.setattr("time.time", lambda: 2e9)
    save_network(narrow("UAMD", seed=7), files[1], {"fold": 1})
    assert files[0].read_bytes() == files[1].read_bytes()
