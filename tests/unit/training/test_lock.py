"""One writer at a time, whatever happens to the one before."""

import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from lumbarseg.errors import InputError
from lumbarseg.training import lock
from lumbarseg.training.lock import exclusive_lock

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Seconds of the library, made short."""
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(lock, "STALE_AFTER_S", 1.0)


def add_one(folder, count):
    for _ in range(count):
        with exclusive_lock(folder):
            file = folder / "number"
            number = int(file.read_text()) if file.exists() else 0
            time.sleep(0.002)
            file.write_text(str(number + 1))


def hold(folder, held):
    with exclusive_lock(folder):
        held.set()
        time.sleep(60)


@pytest.fixture
def owner(tmp_path):
    """Another process that holds the lock."""
    held = FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path / "state", held))
    process.start()
    assert held.wait(20)
    yield process
    process.kill()
    process.join()


def of_another_machine(folder):
    """Have the lock look as if its owner were on another node, where processes cannot be seen."""
    file = folder.with_name(f"{folder.name}.lock")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"place": "elsewhere 1", "host": "node7"}))


def test_many_at_once_never_write_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(lock.time, "sleep", lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.01)))
    folder = tmp_path / "state"
    folder.mkdir()
    processes = [FORK.Process(target=add_one, args=(folder, 10)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert (folder / "number").read_text() == "40"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_one_that_was_killed_is_followed_at_once(tmp_path, owner, monkeypatch):
    monkeypatch.setattr(lock, "STALE_AFTER_S", 1000.0)
    os.kill(owner.pid, signal.SIGKILL)
    with exclusive_lock(tmp_path / "state"):
        assert json.loads((tmp_path / "state.lock").read_text())["process"] == os.getpid()


def test_one_on_a_node_that_died_is_followed_when_it_has_been_silent(tmp_path, owner):
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    of_another_machine(tmp_path / "state")
    began = time.monotonic()
    with exclusive_lock(tmp_path / "state"):
        assert time.monotonic() - began >= 1.0


def test_a_living_one_is_waited_for_and_then_told_of(tmp_path, owner, monkeypatch, caplog):
    monkeypatch.setattr(lock, "MAX_WAIT_S", 2.0)
    told = pytest.raises(InputError, match=r"state.lock: expected no other job at work here, found that .* is alive")
    with told, exclusive_lock(tmp_path / "state"):
        pytest.fail("two at once")
    assert "waiting for it to end" in caplog.text
    assert owner.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["state.lock"]


def test_one_that_hung_and_was_taken_over_ends_itself_when_it_wakes(tmp_path, owner):
    os.kill(owner.pid, signal.SIGSTOP)
    of_another_machine(tmp_path / "state")
    with exclusive_lock(tmp_path / "state"):
        os.kill(owner.pid, signal.SIGCONT)
        owner.join(20)
        assert owner.exitcode == 1
        assert json.loads((tmp_path / "state.lock").read_text())["process"] == os.getpid()


def test_what_is_done_is_kept_for_one_that_waits(tmp_path):
    folder = tmp_path / "state"
    found = []

    def follow():
        with exclusive_lock(folder) as second:
            found.append((folder / "epoch").read_text())
            second.done()

    with exclusive_lock(folder) as first:
        folder.mkdir()
        (folder / "epoch").write_text("300")
        thread = threading.Thread(target=follow)
        thread.start()
        while not list(tmp_path.glob("*.waiting-*")):
            time.sleep(0.01)
        first.done()
    thread.join(20)
    assert found == ["300"]
    assert not folder.exists()


def test_a_process_id_that_is_used_again_is_another_process():
    me = lock.identity()
    assert lock.has_ended(me) is False
    assert lock.has_ended(me | {"process_start_time": "1"}) is True
    assert lock.has_ended(me | {"place": f"before the restart {me['place'].split()[1]}"}) is True
    assert lock.has_ended(me | {"host": "node7", "place": "elsewhere 1"}) is None
