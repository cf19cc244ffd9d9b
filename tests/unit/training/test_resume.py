"""Trainings that are killed, changed or damaged: what is finished is kept, and the end is that of an undisturbed one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pandas as pd
import pytest

from factories.training import TOPOLOGY, results_of, start_child, train, weights, write_session
from factories.workflow import ROOT
from lumbarseg.errors import InputError


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    for seed, name in enumerate("abc"):
        write_session(folder, name, seed)
    return folder


def finished_epochs(folder):
    log = folder / "log"
    return log.read_text().count(": loss") if log.exists() else 0


def test_a_training_killed_at_three_random_moments_ends_as_one_that_was_not(sessions, tmp_path):
    epochs = 40
    assert start_child(sessions, tmp_path / "whole", epochs=epochs).wait(timeout=120) == 0
    undisturbed = pd.read_csv(tmp_path / "whole/history.csv")
    seconds = undisturbed["seconds"].median()
    moments = random.Random()
    for number, sign in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)):
        (tmp_path / "killed/log").unlink(missing_ok=True)
        training = start_child(sessions, tmp_path / "killed", epochs=epochs)
        moment = moments.uniform(0, epochs / 4) * seconds
        while finished_epochs(tmp_path / "killed") < 1:
            assert training.poll() is None, (tmp_path / "killed/log").read_text()
            time.sleep(0.01)
        time.sleep(moment)
        training.send_signal(sign)
        assert training.wait(timeout=10) in (-sign, 128 + sign), f"kill {number}, {moment:.3f} s after an epoch"
        log = (tmp_path / "killed/log").read_text()
        print(f"kill {number}: {moment:.3f} s after an epoch, in {log.splitlines()[-1]}")
        assert number == 0 or "continuing from epoch" in log
        assert sign != signal.SIGTERM or "stopped by SIGTERM" in log
    assert start_child(sessions, tmp_path / "killed", epochs=epochs).wait(timeout=120) == 0
    assert not list((tmp_path / "killed").glob("state/*/.part-*"))

    assert results_of(pd.read_csv(tmp_path / "killed/history.csv")).equals(results_of(undisturbed))
    files = [(tmp_path / name / "best").read_text() for name in ("whole", "killed")]
    assert all(np.array_equal(a, b) for a, b in zip(weights(files[0]), weights(files[1]), strict=True))
    states = [next((tmp_path / name).glob("state/*/state.npz")) for name in ("whole", "killed")]
    with np.load(states[0]) as one, np.load(states[1]) as other:
        assert all(np.array_equal(one[name], other[name]) for name in one.files if name != "record")


def test_a_changed_setting_never_goes_on_from_old_state(sessions, tmp_path):
    train(sessions, tmp_path, epochs=1)
    (old,) = tmp_path.glob("state-*/state.npz")
    written = old.read_bytes()
    _, history = train(sessions, tmp_path, identity={"topology": TOPOLOGY | {"learning_rate": 0.02}}, epochs=1)
    assert len(history) == 1
    assert old.read_bytes() == written
    assert len(list(tmp_path.glob("state-*/state.npz"))) == 2


def test_changed_patches_never_go_on_from_old_state(tmp_path):
    for seed, name in enumerate("abc"):
        write_session(tmp_path, name, seed)
    train(tmp_path, tmp_path / "state", epochs=1)
    write_session(tmp_path, "b", 7)
    _, history = train(tmp_path, tmp_path / "state", epochs=1)
    assert len(history) == 1
    assert len(list(tmp_path.glob("state/state-*/state.npz"))) == 2


@pytest.mark.parametrize("pattern", ["state.npz", "best-UD-epoch-*.keras"])
def test_damaged_state_is_told_with_what_to_do_and_stays_as_it_is(sessions, tmp_path, pattern):
    train(sessions, tmp_path, epochs=1)
    (file,) = tmp_path.glob(f"state-*/{pattern}")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"found a damaged file.*remove .* to train from the first epoch"):
        train(sessions, tmp_path, epochs=2)
    assert len(file.read_bytes()) == 1000


def test_a_best_network_with_wrong_bytes_is_told(sessions, tmp_path):
    train(sessions, tmp_path, epochs=1)
    (file,) = tmp_path.glob("state-*/best-UD-epoch-1.keras")
    with zipfile.ZipFile(file) as archive:
        place = max(archive.infolist(), key=lambda part: part.file_size).header_offset + 500
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"epoch-1\.keras: expected .* found a damaged file"):
        train(sessions, tmp_path, epochs=2)


def test_a_best_network_that_is_gone_is_told(sessions, tmp_path):
    train(sessions, tmp_path, epochs=1)
    next(tmp_path.glob("state-*/best-UD-epoch-1.keras")).unlink()
    with pytest.raises(InputError, match=r"epoch-1\.keras: expected .* No such file"):
        train(sessions, tmp_path, epochs=2)


FULL_DISK = """
import os, sys
from pathlib import Path
from lumbarseg.errors import InputError
from factories.training import results_of, train, weights
sessions, state, disturbed = map(Path, sys.argv[1:])
train(sessions, state, epochs=2)
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
    train(sessions, state, epochs=4)
except InputError as error:
    assert "found none (No space left on device); make room" in str(error), str(error)
else:
    raise AssertionError("the disk was not full")
assert saved.read_bytes() == written
assert not list(state.glob("state-*/.part-*"))
filler.unlink()
best, history = train(sessions, state, epochs=4)
best_whole, history_whole = train(sessions, disturbed, epochs=4)
assert results_of(history).equals(results_of(history_whole))
assert all((a == b).all() for a, b in zip(weights(best), weights(best_whole), strict=True))
"""


def test_a_full_disk_is_told_and_loses_nothing_that_was_saved(sessions, tmp_path):
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size=2m none {tmp_path}/disk"
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*own, mount], check=False, capture_output=True).returncode:
        pytest.skip("this system lets no ordinary user mount a small disk (unshare)")
    path = os.pathsep.join([str(ROOT / "workflow_scripts"), str(ROOT / "tests")])
    command = f'{mount} && exec "$@"'
    arguments = [sys.executable, "-c", FULL_DISK, sessions, tmp_path / "disk", tmp_path / "undisturbed"]
    done = subprocess.run(
        [*own, command, "sh", *map(str, arguments)], env=os.environ | {"PYTHONPATH": path}, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
