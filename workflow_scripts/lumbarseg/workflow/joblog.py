"""What a job says: everything to its log, to the terminal only the sentence a user needs."""

import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from lumbarseg.errors import InputError

logger = logging.getLogger("lumbarseg")

GRACE = 3.0
"""Seconds between SIGTERM and the end of a job that cannot end by itself."""

_termination: dict[str, Any] = {}


@contextmanager
def job(log: str | os.PathLike[str]) -> Iterator[logging.Logger]:
    """Run a block as a job: its output, its libraries' and their C++ parts' go to `log`.

    If the block fails, the log ends with the traceback and then one sentence; the sentence alone is shown, and the
    process exits with status 1. Warnings are shown as well. SIGTERM (SLURM, at the time limit) ends the job with 143 after
    a line in the log, within `GRACE` seconds even in the middle of a long computation.

    Args:
        log: the job's log file; written anew.

    Yields:
        The library's logger.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    # On the level of file descriptors, for TensorFlow's C++ parts and child processes write there.
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    shown = logging.StreamHandler(os.fdopen(os.dup(terminal), "w"))
    shown.setLevel(logging.WARNING)
    # What ends the job is shown below, for it has to be said even where logging fails.
    shown.addFilter(lambda record: record.levelno < logging.ERROR)
    logger.addHandler(handler)
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    _answer_termination()
    if "SLURM_JOB_ID" in os.environ:
        # Which of a node's cards it was given is told nowhere else.
        names = ("SLURM_JOB_ID", "SLURMD_NODENAME", "SLURM_STEP_GPUS")
        logger.info("SLURM job %s on %s, card %s", *(os.environ.get(name, "none") for name in names))
    started = time.monotonic()
    try:
        yield logger
        logger.info("done in %.1f s", time.monotonic() - started)
    except Exception as error:  # whatever it is, the user gets a sentence and the log the traceback
        traceback.print_exc()
        sentence = (
            str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error} (traceback in {log})"
        )
        logger.error("stopped: %s", sentence)
        os.write(terminal, f"{sentence}\n".encode())
        sys.stderr.flush()
        os._exit(1)


def _answer_termination() -> None:
    """Have SIGTERM end the job, by an exception in the main thread or, where that is not heard, without it."""
    # Python calls a handler between two steps of the interpreter, and a step of a network may take a minute. The byte
    # that the C part of Python writes for every signal is heard at once, by a thread of its own.
    hear, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _terminated)

    def listen() -> None:
        while signal.SIGTERM not in hear.recv(1):
            pass
        time.sleep(GRACE)
        _say_termination()
        os._exit(143)

    threading.Thread(target=listen, name="termination", daemon=True).start()
    # The socket lives as long as the process, or the thread would hear its end.
    _termination["ears"] = tell


def _terminated(signal_number: int, frame: FrameType | None) -> None:
    _say_termination()
    raise SystemExit(143)


def _say_termination() -> None:
    if _termination.setdefault("said", threading.get_ident()) == threading.get_ident():
        logger.info("stopped by SIGTERM, as a scheduler sends at the time limit; all finished epochs are kept")
