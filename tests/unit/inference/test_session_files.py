"""Ensembles loaded from files: what does not belong together is rejected."""

import re

import numpy as np
import pytest

from lumbarseg.errors import InputError
from lumbarseg.inference.session_files import load_ensemble
from lumbarseg.models.metadata import network_metadata, save_network

NAMES = ["Background", "Vert", "Sacrum"]


def load(folder, **changes):
    described = {"fold": 1, "channels": ["T2w"], "class_names": NAMES} | changes
    return load_ensemble([("U1", ["U1"], "")], ["U1"], [str(folder / "network.keras")], [], **described)


@pytest.fixture(scope="module")
def saved(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    save_network(networks["U1"], folder / "network.keras", network_metadata("U1", 1, ["T2w"], NAMES))
    return folder


def test_load_ensemble_accepts_networks_that_belong_together(saved):
    assert load(saved).networks == ["U1"]


@pytest.mark.parametrize(
    "changes", [{"class_names": ["Background", "Vert", "Disc"]}, {"fold": 2}, {"channels": ["T2w", "T1w"]}]
)
def test_load_ensemble_rejects_networks_of_another_label_table_fold_or_contrast(saved, changes):
    (value,) = changes.values()
    expected = ", ".join(value) if isinstance(value, list) else str(value)
    with pytest.raises(InputError, match=rf"network\.keras: .*{expected}"):
        load(saved, **changes)


def test_load_ensemble_rejects_another_topology_and_files_without_metadata(networks, tmp_path):
    save_network(networks["UD"], tmp_path / "network.keras", network_metadata("UD", 1, ["T2w"], NAMES))
    with pytest.raises(InputError, match=r"network\.keras: .*UD.*U1"):
        load(tmp_path)
    networks["U1"].save(tmp_path / "network.keras")
    with pytest.raises(InputError, match=r"network\.keras: .*network"):
        load(tmp_path)


def test_load_ensemble_names_the_damaged_network_and_the_stage_that_trains_it(saved, tmp_path):
    whole = (saved / "network.keras").read_bytes()
    for place in np.random.default_rng(0).integers(len(whole), size=8):
        (tmp_path / "network.keras").write_bytes(
            whole[:place] + bytes(b ^ 255 for b in whole[place : place + 9]) + whole[place + 9 :]
        )
        with pytest.raises(InputError) as caught:
            load(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path}/network.keras: ")
        assert re.search("; delete it and run `snakemake train` again|; train it again", str(caught.value))
