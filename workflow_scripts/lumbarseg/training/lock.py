"""One writer at a time: a lock that jobs on other nodes see, and that a dead job does not keep.

Locks of the operating system (`flock`, `lockf`) are silently local to a node on several network file systems. A lock needs
only what all of them have, a file that is made once. Its owner beats, and who waits takes it over when no beat came for a
while by the waiter's own clock, so that clocks of nodes need not agree.
"""

import json
import logging
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lumbarseg.atomic_io import disk_full_as_input_error
from lumbarseg.errors import InputError

logger = logging.getLogger("lumbarseg")

HEARTBEAT_S = 5.0
"""Seconds between two signs of life of an owner."""

STALE_AFTER_S = 60.0
"""Seconds without one after which an owner on another node counts as dead; more than file systems keep attributes."""

MAX_WAIT_S = 900.0
"""Seconds a job waits for a living owner."""


def place() -> str:
    """This machine since it was started, and the processes seen from here: where a process id means something."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text().strip() if boot.exists() else socket.gethostname()
    try:
        return f"{started} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return started


def process_start_time(process: int) -> str | None:
    """When a process of this machine began, in ticks; None where it has ended. Ids are used again, with a later birth."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def identity() -> dict[str, Any]:
    """Who runs this: `host`, `process`, `place`, `process_start_time`, and SLURM's `job` and `node` where it is one."""
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "place": place(),
        "process_start_time": process_start_time(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "node": os.environ.get("SLURMD_NODENAME"),
    }


def has_ended(owner: dict[str, Any]) -> bool | None:
    """Whether a process has ended; None where that cannot be seen from here.

    Args:
        owner: as `identity` gives it.
    """
    if owner["place"] == place():
        return process_start_time(owner["process"]) != owner["process_start_time"]
    # The same machine, started again since; containers of one machine may not see each other's processes.
    if owner["host"] == socket.gethostname() and owner["place"].split()[0] != place().split()[0]:
        return True
    return None


class Lock:
    """A lock on a folder; made and held by `exclusive_lock`.

    Attributes:
        folder: what only its holder writes to.
        file: the lock's file, beside the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder.with_name(f"{folder.name}.lock")
        self._record = identity() | {"token": uuid.uuid4().hex}
        self._ended = threading.Event()

    def take(self) -> None:
        """Wait until nobody else holds it, then hold it.

        Raises:
            InputError: its owner lived on for `MAX_WAIT_S` seconds, or the disk is full.
        """
        waiting = self.file.with_name(f"{self.file.name}.waiting-{self._record['token']}")
        seen, beaten, began = "", time.monotonic(), time.monotonic()
        try:
            while not self._make():
                content = _read(self.file)
                if content != seen:
                    seen, beaten = content, time.monotonic()
                owner = _parse(content)
                silent = time.monotonic() - beaten > STALE_AFTER_S
                if silent or (owner and has_ended(owner)):
                    self._remove_dead(content)
                    continue
                who = f"job {owner['job']} on {owner['node']}" if owner.get("job") else f"{owner.get('host', 'a job')}"
                if time.monotonic() - began > MAX_WAIT_S:
                    raise InputError(
                        f"{self.file}: expected no other job at work here, found that {who} is alive; where that is left of a "
                        "run that was killed, `make resume` ends it and goes on"
                    )
                if not waiting.exists():
                    logger.warning("%s: %s is at work here; waiting for it to end", self.file, who)
                    waiting.touch()
                time.sleep(1)
        finally:
            waiting.unlink(missing_ok=True)
        threading.Thread(target=self._beat, name="lock", daemon=True).start()

    def done(self) -> None:
        """Remove the folder, unless another job waits: in it that one finds that all is done."""
        if not any(self.file.parent.glob(f"{self.file.name}.waiting-*")):
            shutil.rmtree(self.folder)

    def release(self) -> None:
        """Give it up."""
        self._ended.set()
        if self._is_ours():
            self.file.unlink(missing_ok=True)

    def _make(self) -> bool:
        with disk_full_as_input_error(self.file):
            try:
                descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                return False
            try:
                os.write(descriptor, json.dumps(self._record).encode())
                os.fsync(descriptor)
            except OSError:
                self.file.unlink()
                raise
            finally:
                os.close(descriptor)
        return True

    def _remove_dead(self, content: str) -> None:
        """Remove the lock that was read as `content`; of several that wait, one does it, and never a newer lock."""
        dead = self.file.with_name(f"{self.file.name}.dead-{self._record['token']}")
        with suppress(FileNotFoundError):
            self.file.rename(dead)
            if _read(dead) != content:
                # Another was faster and holds it now: it gets it back.
                with suppress(FileExistsError):
                    os.link(dead, self.file)
            dead.unlink()

    def _is_ours(self) -> bool:
        return _parse(_read(self.file)).get("token") == self._record["token"]

    def _beat(self) -> None:
        beats = 0
        while not self._ended.wait(HEARTBEAT_S):
            beats += 1
            # A beat that does not get through is no harm; who takes the lock for dead is noticed by its token.
            with suppress(OSError):
                if not self._is_ours():
                    break
                content = json.dumps(self._record | {"beats": beats}).encode()
                # Into the same file: one that was moved away by another job is not made anew.
                with self.file.open("r+b") as file:
                    file.write(content)
                    file.truncate()
                    os.fsync(file.fileno())
        if not self._ended.is_set():
            logger.error("stopped: %s was taken over by another job while this one did not answer", self.file)
            os._exit(1)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _parse(content: str) -> dict[str, Any]:
    """A lock's record; empty where it is being written or was removed."""
    try:
        return dict(json.loads(content))
    except ValueError:
        return {}


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[Lock]:
    """Run a block as the only one that writes to a folder, of all jobs on all nodes.

    A second job waits. An owner that died without a word (killed, its node down) is followed at once on the same machine,
    and after `STALE_AFTER_S` seconds from another. A job whose lock was taken over, for it hung that long, ends itself.

    Args:
        folder: what is written to; the lock's file stands beside it, `<folder>.lock`.

    Yields:
        The lock.

    Raises:
        InputError: another job was at work there for `MAX_WAIT_S` seconds, or the disk is full.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder)
    lock.take()
    try:
        yield lock
    finally:
        lock.release()
