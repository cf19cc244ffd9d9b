"""The training of a topology, from files to files."""

import logging

import pandas as pd
import pytest

from factories.training import CLASS_NAMES
from lumbarseg.models.metadata import load_network, network_metadata
from lumbarseg.training.loop import DivergedError
from lumbarseg.training.network import train_network

FCN = {"family": "fcn8", "fully_connected": 8, "optimiser": "adam", "learning_rate": 0.01}
SETTINGS = {
    "base_filters": 2, "epochs": 1, "batch_size": 4, "gradient_accumulation_steps": 1, "monitor": "accuracy", "seed": 1, "xla": False,
    "batch_statistics": "moving",
    "augmentation": {"rotation_deg": 20, "zoom": [0.8, 1.2], "shift": 0.1, "flip": 0.5},
}  # fmt: skip


def train(sessions, topology, history, seed=1, **files):
    train_network(
        "FCN", topology, sessions[:2], sessions[2:], settings=SETTINGS | {"seed": seed}, class_names=CLASS_NAMES, background=0,
        history_file=history, **files,
    )  # fmt: skip
    return pd.read_csv(history)


def test_train_network_writes_the_network_and_its_history_and_removes_the_state(sessions, tmp_path):
    described = network_metadata("FCN", 2, ["T2w", "T1w"], CLASS_NAMES)
    target = tmp_path / "fold-2/network.keras"
    history = train(sessions, FCN, tmp_path / "fold-2/history.csv", network_file=target, metadata=described)
    assert history["epoch"].tolist() == [1]
    assert load_network(target, described).name == "FCN"
    assert sorted(path.name for path in target.parent.iterdir()) == ["history.csv", "network.keras"]


def test_train_network_starts_from_a_network_and_another_start_trains_from_the_first_epoch(sessions, tmp_path, caplog):
    starts = []
    for place, seed in enumerate((1, 2)):
        described = network_metadata("FCN", 1, ["T2w", "T1w"], CLASS_NAMES)
        starts.append(tmp_path / f"{place}.keras")
        train(sessions, FCN, tmp_path / f"{place}/history.csv", network_file=starts[-1], metadata=described, seed=seed)
    histories = {}
    with caplog.at_level(logging.INFO, "lumbarseg"):
        for name, start in (("random", None), ("first", starts[0]), ("again", starts[0]), ("second", starts[1])):
            histories[name] = train(sessions, FCN, tmp_path / name / "history.csv", start=start)["val_loss"].item()
    assert histories["first"] == histories["again"]
    assert len(set(histories.values())) == 3
    assert f"FCN: 22 of 22 layers start from {starts[0]}; fresh: none" in caplog.messages


def test_train_network_records_a_search_that_diverged_as_a_result(sessions, tmp_path):
    wild = FCN | {"optimiser": "sgd", "learning_rate": 1e25}
    history = train(sessions, wild, tmp_path / "history.csv")
    assert len(history) == 0
    assert list(history.columns) == ["epoch"]
    with pytest.raises(DivergedError):
        train(sessions, wild, tmp_path / "history.csv", network_file=tmp_path / "network.keras")
