"""Training of starter networks: on phantoms alone, resumable, extended by a contrast."""

import keras
import numpy as np
import pandas as pd
import pytest

from lumbarseg.config.model_sections import Starter, Topology
from lumbarseg.models.metadata import load_network, network_metadata
from lumbarseg.synthesis.tissue_slices import stems, write_phantom
from lumbarseg.training.starter import train_starter

NAMES = [f"class {number}" for number in range(12)]
SETTINGS = Starter(
    slices=2, topology="U1", base_filters=2, patch_size=64, pixel_size_mm=2.0, batch_size=2, steps_per_epoch=3,
    validation_samples=2, easy_epochs=1,
).model_dump(mode="json")  # fmt: skip


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    for number in (1, 2):
        write_phantom(folder, number, 1, slices=2, side=96, pixel=3.0)
    return stems([folder])


def train(phantoms, folder, contrasts=("T2w",), epochs=2, start=None):
    folder.mkdir(exist_ok=True)
    metadata = network_metadata("U1", 1, contrasts, NAMES)
    train_starter(
        Topology(optimiser="adam", learning_rate=0.001).model_dump(mode="json"), phantoms[1:], phantoms[:1],
        contrasts=contrasts, settings=SETTINGS, epochs=epochs, class_names=NAMES, background=0,
        history_file=folder / "history.csv", network_file=folder / "network.keras", metadata=metadata, start=start,
    )  # fmt: skip
    return load_network(folder / "network.keras", metadata)


def test_train_starter_gives_the_same_network_from_the_same_seed(phantoms, tmp_path):
    first, second = train(phantoms, tmp_path / "first"), train(phantoms, tmp_path / "second")
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(pd.read_csv(tmp_path / "first/history.csv")["epoch"]) == [1, 2]
    assert not list((tmp_path / "first").glob("state*"))


def test_train_starter_extends_a_network_by_a_contrast(phantoms, tmp_path):
    start = train(phantoms, tmp_path / "T2w", epochs=1)
    both = train(phantoms, tmp_path / "both", ("T2w", "T1w"), epochs=1, start=tmp_path / "T2w/network.keras")
    assert both.input_shape == (None, 64, 64, 2)
    assert start.input_shape == (None, 64, 64, 1)
    # One step of Adam changes a weight by no more than its rate, so most are near those of the start.
    kernels = [
        [layer.get_weights()[0] for layer in network.layers if isinstance(layer, keras.layers.Conv2D)][2]
        for network in (start, both)
    ]
    np.testing.assert_allclose(kernels[0], kernels[1], atol=0.02)
