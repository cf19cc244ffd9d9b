"""Temporary files and folders whose names say which process owns them, so that a later start removes those of killed ones.

A process that is killed (SIGKILL, out of memory) cannot remove what it was writing, which may be images of a patient.
This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lumbarseg.errors import InputError
from lumbarseg.process_identity import place, process_start_time

PART, PACKING = ".part-", ".packing-"
"""How names begin of what is written next to results: incomplete files and folders, and bundles that are not yet checked."""

ABANDONED_AFTER_S = 86400.0
"""Seconds without a change after which a temporary file counts as abandoned, if its owner cannot be seen from this machine."""

_PREFIX = "lumbarseg-"
# Hashes of host, boot and namespace; process, and when it started; a random id.
_OWNER = "([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,20})-[0-9a-f]{16}"
_OWNED = re.compile(rf"(?:\.part-|\.packing-|lumbarseg-[a-z]+-){_OWNER}(?:-.*)?", re.DOTALL)


def owned_name() -> str:
    """Return a name that no other process gives, not even on another node, and that says which process gave it."""
    process = os.getpid()
    return "-".join([*_here(), str(process), process_start_time(process) or "0", uuid.uuid4().hex[:16]])


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Yield an empty folder in the system's temporary folder, which only this user can enter; remove it after the block.

    Args:
        purpose: a word of small letters for its name, for whoever looks into the temporary folder.

    Raises:
        InputError: there is no temporary folder that can be written to.
    """
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise InputError(
            "TMPDIR: no temporary folder can be written to; free some space, or set TMPDIR to another folder"
        ) from error
    with _folder(parent, f"{_PREFIX}{purpose}-", "set TMPDIR to another folder") as folder:
        yield folder


@contextmanager
def folder_beside_results(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield an empty folder next to results, where what is made can be moved to its place at once; remove it after the block.

    Args:
        parent: the folder of the results.
        prefix: `PART` or `PACKING`.

    Raises:
        InputError: the folder cannot be made.
    """
    with _folder(parent, prefix, "fix the permissions of the folder") as folder:
        yield folder


@contextmanager
def _folder(parent: Path, prefix: str, remedy: str) -> Iterator[Path]:
    folder = parent / f"{prefix}{owned_name()}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise InputError(
            f"{parent}: cannot make a folder there ({error.strerror}); free some space, or {remedy}"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned_scratch() -> None:
    """Remove this user's folders of dead processes from the system's temporary folder."""
    with suppress(OSError):
        _remove_abandoned(Path(tempfile.gettempdir()), (_PREFIX,))


def remove_abandoned_parts(folder: Path, *, below: bool = False) -> None:
    """Remove incomplete results of dead processes from a folder; what cannot be removed stays.

    Args:
        folder: need not exist.
        below: also from all folders below it; links to folders are not followed.
    """
    if not below:
        _remove_abandoned(folder, (PART, PACKING))
        return
    for here, folders, _ in os.walk(folder):
        _remove_abandoned(Path(here), (PART, PACKING))
        folders[:] = [name for name in folders if not name.startswith((PART, PACKING))]


def _remove_abandoned(folder: Path, prefixes: tuple[str, ...]) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefixes):
                with suppress(OSError):
                    _remove_if_abandoned(entry)


def _remove_if_abandoned(entry: "os.DirEntry[str]") -> None:
    found = entry.stat(follow_symlinks=False)
    # A user may have a file of such a beginning.
    if found.st_uid != os.geteuid() or not _OWNED.fullmatch(entry.name):
        return
    ended = _owner_has_ended(entry.name)
    if ended or (ended is None and time.time() - found.st_mtime > ABANDONED_AFTER_S):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink()


def _owner_has_ended(name: str) -> bool | None:
    """Return whether the process that gave a name has ended; None if that cannot be told."""
    match = _OWNED.fullmatch(name)
    if not match:
        return None
    *where, process, started = match.groups()
    here = _here()
    if where == here:
        # Without /proc nothing is known of other processes.
        return process_start_time(int(process)) != started if started != "0" else None
    # The same host after a restart. Containers of one host may not see each other's processes.
    return True if where[0] == here[0] and where[1] != here[1] else None


def _here() -> list[str]:
    """Return hashes of this host, of its boot and of the namespace of its process ids."""
    boot, _, namespace = place().partition(" ")
    return [hashlib.sha256(text.encode()).hexdigest()[:8] for text in (socket.gethostname(), boot, namespace)]
