"""Network files: the same bytes for the same network, with its metadata inside."""

import json
import zipfile

import keras
import pytest

from lumbarseg.errors import InputError
from lumbarseg.models.metadata import load_network, network_metadata, save_network

WHO = network_metadata("UMD", 2, ["T2w", "T1w"], ["Background", "Knochen/Wirbelkörper"])


def network():
    """A network one of whose layers is shared."""
    patch = keras.Input((8, 8, 2), name="patch")
    shared = keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(1), name="shared")
    return keras.Model(patch, keras.layers.Dense(2, kernel_initializer="ones", name="last")(shared(shared(patch))))


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_save_network_numbers_shared_objects_and_leaves_out_the_date(tmp_path):
    save_network(network(), tmp_path / "network.keras", WHO)
    found = members(tmp_path / "network.keras")
    assert "date_saved" not in json.loads(found["metadata.json"])
    ids = set()
    json.loads(found["config.json"], object_hook=lambda part: ids.add(part.get("shared_object_id")))
    assert ids - {None} == set(range(len(ids - {None})))
    assert len(ids) > 1


def test_save_network_keeps_text_that_looks_like_a_shared_object_id(tmp_path):
    given = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)], name='a"shared_object_id": 7')
    save_network(given, tmp_path / "network.keras", WHO)
    assert load_network(tmp_path / "network.keras", WHO).name == given.name


def test_load_network_returns_the_expected_network_and_plain_keras_reads_it_too(tmp_path):
    given = network()
    save_network(given, tmp_path / "network.keras", WHO)
    for loaded in (
        load_network(tmp_path / "network.keras", WHO),
        keras.models.load_model(tmp_path / "network.keras", compile=False),
    ):
        assert len(loaded.weights) == len(given.weights)
        for one, other in zip(loaded.get_weights(), given.get_weights(), strict=True):
            assert (one == other).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "U1"}, "the network's model is UMD, expected U1; put the right file in its place"),
        ({"fold": 1}, "the network's fold is 2, expected 1"),
        ({"channels": ["T2w"]}, "the network's list of channels is T2w, T1w, expected T2w"),
    ],
)
def test_load_network_refuses_another_network(tmp_path, changes, message):
    save_network(network(), tmp_path / "network.keras", WHO)
    with pytest.raises(InputError, match=message):
        load_network(tmp_path / "network.keras", WHO | changes)


def test_load_network_refuses_files_without_metadata(tmp_path):
    network().save(tmp_path / "network.keras")
    with pytest.raises(InputError, match=r"network\.keras: not a network trained by this workflow"):
        load_network(tmp_path / "network.keras", WHO)
