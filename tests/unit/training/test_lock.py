"""The lock on a folder: one owner at a time, whatever happens to the one before."""

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
    """Shorten the library's waiting times."""
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


def move_owner_to_another_machine(folder):
    """Make the lock look as if its owner were on another node, where processes cannot be seen."""
    file = folder.with_name(f"{folder.name}.lock")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"place": "elsewhere 1", "host": "node7"}))


def test_exclusive_lock_has_one_owner_at_a_time(tmp_path, monkeypatch):
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


def test_exclusive_lock_breaks_that_of_a_killed_owner_at_once(tmp_path, owner, monkeypatch):
    monkeypatch.setattr(lock, "STALE_AFTER_S", 1000.0)
    os.kill(owner.pid, signal.SIGKILL)
    with exclusive_lock(tmp_path / "state"):
        assert json.loads((tmp_path / "state.lock").read_text())["process"] == os.getpid()


def test_exclusive_lock_breaks_that_of_a_dead_node_after_missed_heartbeats(tmp_path, owner):
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    move_owner_to_another_machine(tmp_path / "state")
    began = time.monotonic()
    with exclusive_lock(tmp_path / "state"):
        assert time.monotonic() - began >= 1.0


def test_exclusive_lock_waits_for_a_living_owner_and_then_names_it(tmp_path, owner, monkeypatch, caplog):
    monkeypatch.setattr(lock, "MAX_WAIT_S", 2.0)
    refused = pytest.raises(InputError, match=r"state\.lock: locked by .*, which is alive; .*`make resume`")
    with refused, exclusive_lock(tmp_path / "state"):
        pytest.fail("two at once")
    assert "waiting until it ends" in caplog.text
    assert owner.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["state.lock"]


def test_acquire_without_waiting_refuses_a_living_owner_at_once_and_takes_over_a_dead_one(tmp_path, owner, monkeypatch):
    monkeypatch.setattr(lock, "MAX_WAIT_S", 0.0)
    ours = lock.Lock(tmp_path / "state")
    with pytest.raises(
        InputError, match=rf"^{tmp_path}: another run writes there \(.+\); wait until it has ended, or name"
    ):
        ours.acquire(wait=False)
    assert [path.name for path in tmp_path.iterdir()] == ["state.lock"]
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    ours.acquire(wait=False)
    ours.release()
    assert not list(tmp_path.iterdir())


def test_acquire_without_waiting_refuses_an_owner_on_another_machine_at_its_next_heartbeat(tmp_path, owner):
    os.kill(owner.pid, signal.SIGSTOP)
    move_owner_to_another_machine(tmp_path / "state")
    file = tmp_path / "state.lock"
    moved = json.loads(file.read_text())
    threading.Timer(0.5, lambda: file.write_text(json.dumps(moved | {"heartbeats": 7}))).start()
    with pytest.raises(InputError, match=r"another run writes there \(node7\)"):
        lock.Lock(tmp_path / "state").acquire(wait=False)


JUNK = [
    b"\xff\xfe", b"null", b"[1]", b'{"a": 1}', b'{"token": "x", "process": 1}', b"[" * 10**5, b'{"job": "1"}', b"9" * 10**6,
    json.dumps(lock.identity() | {"token": "x", "process": "1/../self"}).encode(),
    json.dumps(lock.identity() | {"token": "x", "place": None}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("content", JUNK, ids=range(len(JUNK)))
def test_acquire_takes_over_a_lock_that_is_no_record(tmp_path, content):
    (tmp_path / "state.lock").write_bytes(content)
    ours = lock.Lock(tmp_path / "state")
    ours.acquire(wait=False)
    assert json.loads((tmp_path / "state.lock").read_text())["process"] == os.getpid()
    ours.release()
    assert not list(tmp_path.iterdir())


def test_acquire_words_an_owner_of_any_name_on_one_line(tmp_path):
    owner = lock.identity() | {"token": "x", "job": "\x1b[31m\n", "node": None}
    (tmp_path / "state.lock").write_text(json.dumps(owner))
    with pytest.raises(InputError, match="another run writes there") as found:
        lock.Lock(tmp_path / "state").acquire(wait=False)
    assert str(found.value).isprintable()


@pytest.mark.parametrize("place", ["", " ", "elsewhere"])
def test_has_ended_takes_any_place(place):
    lock.has_ended(lock.identity() | {"place": place})


def test_a_job_that_hung_ends_itself_when_its_lock_was_broken(tmp_path, owner):
    os.kill(owner.pid, signal.SIGSTOP)
    move_owner_to_another_machine(tmp_path / "state")
    with exclusive_lock(tmp_path / "state"):
        os.kill(owner.pid, signal.SIGCONT)
        owner.join(20)
        assert owner.exitcode == 1
        assert json.loads((tmp_path / "state.lock").read_text())["process"] == os.getpid()


def test_remove_folder_keeps_finished_work_for_a_job_that_waits(tmp_path):
    folder = tmp_path / "state"
    found = []

    def follow():
        with exclusive_lock(folder) as second:
            found.append((folder / "epoch").read_text())
            second.remove_folder()

    with exclusive_lock(folder) as first:
        folder.mkdir()
        (folder / "epoch").write_text("300")
        thread = threading.Thread(target=follow)
        thread.start()
        while not list(tmp_path.glob("*.waiting-*")):
            time.sleep(0.01)
        first.remove_folder()
    thread.join(20)
    assert found == ["300"]
    assert not folder.exists()


def test_has_ended_tells_processes_with_the_same_id_apart():
    me = lock.identity()
    assert lock.has_ended(me) is False
    assert lock.has_ended(me | {"process_start_time": "1"}) is True
    assert lock.has_ended(me | {"place": f"before the restart {me['place'].split()[1]}"}) is True
    assert lock.has_ended(me | {"host": "node7", "place": "elsewhere 1"}) is None
