"""A lock on a folder that works across nodes and does not outlive its owner.

The operating system's locks (`flock`, `lockf`) are silently local to a node on several network file systems. This lock
needs only exclusive creation of a file. The owner refreshes a heartbeat; a waiter breaks the lock after 60 s without one,
measured on its own clock, so the nodes' clocks need not agree.
"""

import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lumbarseg.atomic_io import disk_full_as_input_error
from lumbarseg.errors import InputError
from lumbarseg.process_identity import has_ended, identity
from lumbarseg.user_files import printable

logger = logging.getLogger("lumbarseg")

HEARTBEAT_S = 5.0
"""Seconds between two heartbeats."""

STALE_AFTER_S = 60.0
"""Seconds without a heartbeat after which an owner on another node counts as dead; longer than file systems cache attributes."""

_RECORD = {
    "host": str, "process": int, "place": str, "process_start_time": str | None, "job": str | None, "node": str | None, "token": str,
}  # fmt: skip
_LONGEST_RECORD = 1 << 16  # bytes

MAX_WAIT_S = 900.0
"""Seconds a job waits for an owner that is alive."""


class Lock:
    """A lock on a folder; see `exclusive_lock`.

    Attributes:
        folder: only the owner of the lock writes to it.
        file: the lock's file, next to the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder.with_name(f"{folder.name}.lock")
        self._record = identity() | {"token": uuid.uuid4().hex}
        self._released = threading.Event()

    def acquire(self, *, wait: bool = True) -> None:
        """Wait until the lock is free, then own it.

        Args:
            wait: also for an owner that is alive; otherwise only until it is known whether it is.

        Raises:
            InputError: its owner was alive for `MAX_WAIT_S` seconds, or is alive and is not waited for, or the disk is full.
        """
        waiting = self.file.with_name(f"{self.file.name}.waiting-{self._record['token']}")
        started = last_heartbeat = time.monotonic()
        seen = ""
        try:
            while not self._create():
                content = _read(self.file)
                owner = _parse(content)
                is_alive = bool(owner) and (has_ended(owner) is False or content != seen != "")
                if content != seen:
                    seen, last_heartbeat = content, time.monotonic()
                stale = time.monotonic() - last_heartbeat > STALE_AFTER_S
                if stale or (owner and has_ended(owner)):
                    self._break(content)
                    continue
                who = printable(
                    f"job {owner['job']} on {owner['node']}" if owner.get("job") else owner.get("host", "a job")
                )
                if is_alive and not wait:
                    raise InputError(
                        f"{self.folder.parent}: another run writes there ({who}); wait until it has ended, or name another folder"
                    )
                if time.monotonic() - started > MAX_WAIT_S:
                    raise InputError(
                        f"{self.file}: locked by {who}, which is alive; if it is left over from a run that was killed, "
                        "`make resume` ends it and continues"
                    )
                if not waiting.exists():
                    logger.warning("%s: locked by %s; waiting until it ends", self.file, who)
                    waiting.touch()
                time.sleep(1)
        finally:
            waiting.unlink(missing_ok=True)
        threading.Thread(target=self._refresh, name="lock", daemon=True).start()

    def remove_folder(self) -> None:
        """Remove the folder when its work is finished, unless another job waits, which has to find the finished work."""
        if not any(self.file.parent.glob(f"{self.file.name}.waiting-*")):
            shutil.rmtree(self.folder)

    def release(self) -> None:
        """Free the lock."""
        self._released.set()
        if self._is_ours():
            self.file.unlink(missing_ok=True)

    def _create(self) -> bool:
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

    def _break(self, content: str) -> None:
        """Remove the lock that was read as `content`: one of several waiters does it, and never to a newer lock."""
        dead = self.file.with_name(f"{self.file.name}.dead-{self._record['token']}")
        with suppress(FileNotFoundError):
            self.file.rename(dead)
            if _read(dead) != content:
                # Another waiter was faster and owns the lock now; put it back.
                with suppress(FileExistsError):
                    os.link(dead, self.file)
            dead.unlink()

    def _is_ours(self) -> bool:
        return _parse(_read(self.file)).get("token") == self._record["token"]

    def _refresh(self) -> None:
        heartbeats = 0
        while not self._released.wait(HEARTBEAT_S):
            heartbeats += 1
            # A heartbeat that fails does no harm; a lock that was broken is noticed by its token.
            with suppress(OSError):
                if not self._is_ours():
                    break
                content = json.dumps(self._record | {"heartbeats": heartbeats}).encode()
                # Into the existing file: one that a waiter moved away must not be created again.
                with self.file.open("r+b") as file:
                    file.write(content)
                    file.truncate()
                    os.fsync(file.fileno())
        if not self._released.is_set():
            logger.error("stopped: another job broke %s while this job did not respond", self.file)
            os._exit(1)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stored:
            return stored.read(_LONGEST_RECORD).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _parse(content: str) -> dict[str, Any]:
    """Return a lock's record; empty while it is being written, after it was removed, or if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    is_record = isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in _RECORD.items())
    return found if is_record else {}


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[Lock]:
    """Run a block while no other job, on any node, writes to a folder.

    A second job waits. If the owner is killed, the lock is broken at once on the same machine and after `STALE_AFTER_S`
    seconds on another. A job whose lock was broken because it did not respond ends itself.

    Args:
        folder: what is written to; the lock's file is next to it, `<folder>.lock`.

    Yields:
        The lock.

    Raises:
        InputError: another job owned the lock for `MAX_WAIT_S` seconds, or the disk is full.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder)
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()
