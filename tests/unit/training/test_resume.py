"""Interrupted trainings: finished epochs are kept, and the result is that of an uninterrupted one."""

import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from factories.training import python_path, results_of, same_weights, start_child, train, write_session, write_sessions


def finished_epochs(folder):
    log = folder / "log"
    return log.read_text().count(": loss") if log.exists() else 0


def test_a_training_killed_twice_ends_bit_for_bit_as_one_that_was_not(sessions, tmp_path):
    whole, killed, epochs = tmp_path / "whole", tmp_path / "killed", 80
    undisturbed = start_child(sessions, whole, epochs=epochs)
    for number, sign in enumerate((signal.SIGKILL, signal.SIGTERM)):
        (killed / "log").unlink(missing_ok=True)
        training = start_child(sessions, killed, epochs=epochs)
        while finished_epochs(killed) < 1:
            assert training.poll() is None, (killed / "log").read_text()
            time.sleep(0.01)
        moment = random.uniform(0, 1.5)
        time.sleep(moment)
        training.send_signal(sign)
        assert training.wait(timeout=10) in (-sign, 128 + sign), f"{sign.name}, {moment:.3f} s after an epoch"
        log = (killed / "log").read_text()
        print(f"{sign.name}: {moment:.3f} s after an epoch, in {log.splitlines()[-1]}")
        assert number == 0 or "continuing from epoch" in log
        assert sign != signal.SIGTERM or "stopped by SIGTERM" in log
    assert start_child(sessions, killed, epochs=epochs).wait(timeout=240) == 0, (killed / "log").read_text()
    assert undisturbed.wait(timeout=240) == 0, (whole / "log").read_text()
    assert not list(killed.glob("state/*/.part-*"))

    histories = [results_of(pd.read_csv(folder / "history.csv")) for folder in (whole, killed)]
    assert histories[0].equals(histories[1])
    assert same_weights(*((folder / "best").read_text() for folder in (whole, killed)))
    states = [next(folder.glob("state/*/state.npz")) for folder in (whole, killed)]
    with np.load(states[0]) as one, np.load(states[1]) as other:
        names = [name for name in one.files if name != "record"]
        assert set(one.files) == set(other.files)
        assert all(np.array_equal(one[name], other[name]) for name in names)


AUGMENTATION = {"rotation_deg": 20, "zoom": [0.8, 1.2], "shift": 0.1, "flip": 0.5}


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_statistics": "recomputed"},
        {"augmentation": AUGMENTATION | {"contrast": 0.7}},
        {"unlabelled": [2], "dice_weight": 0.5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_fit_continued_after_an_epoch_ends_bit_for_bit_as_one_that_was_not(sessions, tmp_path, changes):
    whole, history = train(sessions, tmp_path / "whole", epochs=3, **changes)
    train(sessions, tmp_path / "parts", epochs=1, **changes)
    parts, continued = train(sessions, tmp_path / "parts", epochs=3, **changes)
    assert results_of(history).equals(results_of(continued))
    assert same_weights(whole, parts)


def test_fit_never_continues_from_the_state_of_other_settings_or_patches(tmp_path):
    sessions, state = write_sessions(tmp_path), tmp_path / "state"
    train(sessions, state, epochs=1)
    (old,) = state.glob("state-*/state.npz")
    written = old.read_bytes()
    _, of_settings = train(sessions, state, identity="other settings", epochs=1)
    write_session(tmp_path, "b", 7)
    _, of_patches = train(sessions, state, epochs=1)
    assert len(of_settings) == len(of_patches) == 1
    assert old.read_bytes() == written
    assert len(list(state.glob("state-*/state.npz"))) == 3


FULL_DISK = """
import sys
from pathlib import Path
from factories.training import results_of, same_weights, train
from lumbarseg.errors import InputError
state, undisturbed, *sessions = map(Path, sys.argv[1:])
train(sessions, state, epochs=1)
(saved,) = state.glob("state-*/state.npz")
written = saved.read_bytes()
filler = state / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
try:
    train(sessions, state, epochs=3)
except InputError as error:
    assert "No space left on device" in str(error), str(error)
else:
    raise AssertionError("the disk was not full")
assert saved.read_bytes() == written
assert not list(state.glob("state-*/.part-*"))
filler.unlink()
best, history = train(sessions, state, epochs=3)
best_whole, history_whole = train(sessions, undisturbed, epochs=3)
assert results_of(history).equals(results_of(history_whole))
assert same_weights(best, best_whole)
"""


def test_a_full_disk_loses_nothing_that_was_saved(sessions, tmp_path):
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size=1m none {tmp_path}/disk"
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*own, mount], check=False, capture_output=True).returncode:
        pytest.skip("this system lets no ordinary user mount a small disk (unshare)")
    command = f'{mount} && exec "$@"'
    arguments = [sys.executable, "-c", FULL_DISK, tmp_path / "disk", tmp_path / "undisturbed", *sessions]
    done = subprocess.run(
        [*own, command, "sh", *map(str, arguments)], env=python_path(), check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
