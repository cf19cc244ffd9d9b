"""Training: it learns, the same from the same seed, and goes on after being killed as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from lumbarseg.errors import InputError
from lumbarseg.networks.build import build_network, optimiser
from lumbarseg.patchset import PatchSet, write_patches
from lumbarseg.training.learner import Learner, Schedule
from lumbarseg.training.loop import fit
from workflow_runs import ROOT

TOPOLOGY = {"optimiser": "adam", "learning_rate": 0.01, "output": "ds3"}


def write_session(folder: Path, name: str, seed: int, slices: int = 6) -> Path:
    """Slices of bright squares on noise; the square is class 1."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((slices, 32, 32), np.uint8)
    for plane in labels:
        row, column = generator.integers(2, 16, 2)
        plane[row : row + 12, column : column + 12] = 1
    images = (labels[..., None] + generator.normal(0, 0.3, (*labels.shape, 2))).astype(np.float32)
    description = folder / f"{name}_patches.json"
    write_patches(
        images, labels, side=32, stride=24, background=0, description=description,
        images_path=folder / f"{name}_images.b2nd", labels_path=folder / f"{name}_labels.b2nd",
    )  # fmt: skip
    return description


def schedule(**changes) -> Schedule:
    settings = {
        "epochs": 4, "batch_size": 4, "best_epoch_by": "accuracy", "seed": 1, "background": 0,
        "augmentation": {"rotation": 20, "zoom": [0.8, 1.2], "shift": 0.1, "flip": 0.5},
        "class_names": ["Background", "Vert", "Nowhere"],
    }  # fmt: skip
    return Schedule(**settings | changes)


def train(folder: Path, state: Path, identity=None, **changes):
    """Train a narrow network on two sessions, validated on a third; give its file and history."""
    network = build_network(TOPOLOGY, side=32, channels=2, classes=3, width=2, seed=1, name="UD")
    sessions = [folder / f"{name}_patches.json" for name in "abc"]
    results = fit(
        [Learner("UD", network, optimiser(TOPOLOGY))], PatchSet(sessions[:2]), PatchSet(sessions[2:]), schedule(**changes),
        state, identity or {"topology": TOPOLOGY},
    )  # fmt: skip
    return results["UD"]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    for seed, name in enumerate("abc"):
        write_session(folder, name, seed)
    return folder


def weights(file: Path) -> list[np.ndarray]:
    return keras.models.load_model(file, compile=False).get_weights()


def results_of(history):
    return history.drop(columns=["seconds", "patches_per_second"])


def test_patches_of_several_sessions_read_as_one_list(sessions):
    files = [sessions / f"{name}_patches.json" for name in "ab"]
    both, second = PatchSet(files), PatchSet(files[1:])
    assert len(both) == 12
    assert np.array_equal(both.read([7, 0, 11])[0][[0, 2]], second.read([1, 5])[0])
    assert np.array_equal(both.read([7])[1], second.read([1])[1])
    assert both.digest != second.digest


def test_a_network_learns_and_its_history_says_so(sessions, tmp_path):
    best, history = train(sessions, tmp_path, epochs=40, batch_size=2)
    assert list(history["epoch"]) == list(range(1, 41))
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    assert history["val_patch_iou_Vert"].max() > 0.6
    assert history["val_patch_iou_Nowhere"].isna().any()
    # The first epoch with the highest accuracy is the one that is kept.
    assert f"epoch-{history['val_accuracy'].idxmax() + 1}.keras" in best.name


def test_the_kept_network_is_that_of_its_epoch(sessions, tmp_path):
    best, history = train(sessions, tmp_path)
    images, labels = PatchSet([sessions / "c_patches.json"]).read(range(6))
    scores = keras.ops.convert_to_numpy(keras.models.load_model(best, compile=False)(images, training=False))
    accuracy = (scores.argmax(axis=-1) == labels).mean()
    assert accuracy == pytest.approx(history["val_accuracy"].max(), abs=1e-6)


def test_the_same_seed_gives_the_same_network_bit_for_bit(sessions, tmp_path):
    first, history = train(sessions, tmp_path / "1")
    again, history_again = train(sessions, tmp_path / "2")
    other, _ = train(sessions, tmp_path / "3", seed=2)
    assert results_of(history).equals(results_of(history_again))
    assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(first), weights(other), strict=True))


def test_a_changed_setting_never_goes_on_from_old_state(sessions, tmp_path):
    train(sessions, tmp_path, epochs=1)
    (old,) = tmp_path.glob("state-*/state.npz")
    written = old.read_bytes()
    _, history = train(sessions, tmp_path, identity={"topology": TOPOLOGY | {"learning_rate": 0.02}}, epochs=1)
    assert len(history) == 1
    assert old.read_bytes() == written
    assert len(list(tmp_path.glob("state-*/state.npz"))) == 2


def test_damaged_state_is_told_with_what_to_do(sessions, tmp_path):
    train(sessions, tmp_path, epochs=1)
    (state,) = tmp_path.glob("state-*/state.npz")
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"found a damaged file.*remove .* to train from the first epoch"):
        train(sessions, tmp_path, epochs=2)


def test_an_empty_subset_is_told():
    with pytest.raises(InputError, match=r"expected at least one session, found none; see folds\.tsv"):
        PatchSet([])


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{unit!r}, {tests!r}, {library!r}]
import conftest
from lumbarseg.joblog import job
from lumbarseg.training.device import prepare_device
from test_training import train
with job({log!r}):
    prepare_device("cpu", 1, "float32", 1)
    best, history = train(Path({folder!r}), Path({state!r}), epochs=12)
    history.to_csv({history!r}, index=False)
    Path({best!r}).write_text(str(best))
"""


def child(sessions: Path, folder: Path) -> subprocess.Popen:
    """A training in a process of its own, as a job of the workflow is."""
    folder.mkdir(exist_ok=True)
    code = CHILD.format(
        unit=str(ROOT / "tests/unit"), tests=str(ROOT / "tests"), library=str(ROOT / "workflow_scripts"),
        log=str(folder / "log"), folder=str(sessions), state=str(folder / "state"), history=str(folder / "history.csv"),
        best=str(folder / "best"),
    )  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ)


def finished_epochs(folder: Path) -> int:
    log = folder / "log"
    return log.read_text().count("epoch ") if log.exists() else 0


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_that_was_killed_ends_as_one_that_was_not(sessions, tmp_path, sign):
    assert child(sessions, tmp_path / "whole").wait(timeout=120) == 0
    killed = child(sessions, tmp_path / "killed")
    while finished_epochs(tmp_path / "killed") < 4:
        assert killed.poll() is None, (tmp_path / "killed/log").read_text()
        time.sleep(0.01)
    killed.send_signal(sign)
    assert killed.wait(timeout=10) in (-sign, 128 + sign)
    if sign == signal.SIGTERM:
        assert "stopped by SIGTERM" in (tmp_path / "killed/log").read_text()
    assert child(sessions, tmp_path / "killed").wait(timeout=120) == 0
    assert "going on from epoch" in (tmp_path / "killed/log").read_text()

    histories = [results_of(pd.read_csv(tmp_path / name / "history.csv")) for name in ("whole", "killed")]
    assert histories[0].equals(histories[1])
    files = [Path((tmp_path / name / "best").read_text()) for name in ("whole", "killed")]
    assert all(np.array_equal(a, b) for a, b in zip(weights(files[0]), weights(files[1]), strict=True))
