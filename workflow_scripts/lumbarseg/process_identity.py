"""Which process owns something that others find: locks, records of runs, temporary files.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import os
import socket
from pathlib import Path
from typing import Any


def place() -> str:
    """Return an id of this boot of the machine and of the process namespace: where a process id is unique."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text().strip() if boot.exists() else socket.gethostname()
    try:
        return f"{started} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return started


def process_start_time(process: int) -> str | None:
    """Return when a process of this machine started, in ticks; None if it has ended. Process ids are reused."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def identity() -> dict[str, Any]:
    """Return this process's `host`, `process` id, `place`, `process_start_time`, and SLURM's `job` and `node` if there are."""
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "place": place(),
        "process_start_time": process_start_time(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "node": os.environ.get("SLURMD_NODENAME"),
    }


def has_ended(owner: dict[str, Any]) -> bool | None:
    """Return whether a process has ended; None if that cannot be told from this machine.

    Args:
        owner: from `identity`.
    """
    if owner["place"] == place():
        return process_start_time(owner["process"]) != owner["process_start_time"]
    # The same host after a reboot. Containers of one host may not see each other's processes.
    if owner["host"] == socket.gethostname() and owner["place"].partition(" ")[0] != place().partition(" ")[0]:
        return True
    return None
