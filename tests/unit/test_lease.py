"""One writer at a time, whatever happens to the one before."""

import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from lumbarseg import lease
from lumbarseg.errors import InputError
from lumbarseg.lease import sole_writer

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Seconds of the library, made short."""
    monkeypatch.setattr(lease, "BEAT", 0.1)
    monkeypatch.setattr(lease, "SILENCE", 1.0)


def add_one(folder, count):
    for _ in range(count):
        with sole_writer(folder):
            file = folder / "number"
            number = int(file.read_text()) if file.exists() else 0
            time.sleep(0.002)
            file.write_text(str(number + 1))


def hold(folder, held):
    with sole_writer(folder):
        held.set()
        time.sleep(60)


@pytest.fixture
def owner(tmp_path):
    """Another process that holds the lease."""
    held = FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path / "state", held))
    process.start()
    assert held.wait(20)
    yield process
    process.kill()
    process.join()


def of_another_machine(folder):
    """Have the lease look as if its owner were on another node, where processes cannot be seen."""
    file = folder.with_name(f"{folder.name}.lease")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"place": "elsewhere 1", "host": "node7"}))


def test_many_at_once_never_write_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(lease.time, "sleep", lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.01)))
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
    monkeypatch.setattr(lease, "SILENCE", 1000.0)
    os.kill(owner.pid, signal.SIGKILL)
    with sole_writer(tmp_path / "state"):
        assert json.loads((tmp_path / "state.lease").read_text())["process"] == os.getpid()


def test_one_on_a_node_that_died_is_followed_when_it_has_been_silent(tmp_path, owner):
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    of_another_machine(tmp_path / "state")
    began = time.monotonic()
    with sole_writer(tmp_path / "state"):
        assert time.monotonic() - began >= 1.0


def test_a_living_one_is_waited_for_and_then_told_of(tmp_path, owner, monkeypatch, caplog):
    monkeypatch.setattr(lease, "PATIENCE", 2.0)
    told = pytest.raises(InputError, match=r"state.lease: expected no other job at work here, found that .* is alive")
    with told, sole_writer(tmp_path / "state"):
        pytest.fail("two at once")
    assert "waiting for it to end" in caplog.text
    assert owner.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["state.lease"]


def test_one_that_hung_and_was_taken_over_ends_itself_when_it_wakes(tmp_path, owner):
    os.kill(owner.pid, signal.SIGSTOP)
    of_another_machine(tmp_path / "state")
    with sole_writer(tmp_path / "state"):
        os.kill(owner.pid, signal.SIGCONT)
        owner.join(20)
        assert owner.exitcode == 1
        assert json.loads((tmp_path / "state.lease").read_text())["process"] == os.getpid()


def test_what_is_done_is_kept_for_one_that_waits(tmp_path):
    folder = tmp_path / "state"
    found = []

    def follow():
        with sole_writer(folder) as second:
            found.append((folder / "epoch").read_text())
            second.done()

    with sole_writer(folder) as first:
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
    me = lease.identity()
    assert lease.has_ended(me) is False
    assert lease.has_ended(me | {"birth": "1"}) is True
    assert lease.has_ended(me | {"place": f"before the restart {me['place'].split()[1]}"}) is True
    assert lease.has_ended(me | {"host": "node7", "place": "elsewhere 1"}) is None
