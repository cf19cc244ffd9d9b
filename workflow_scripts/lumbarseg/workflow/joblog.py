"""Logs of jobs: everything goes to the job's log, only the sentence a user needs to the terminal."""

import io
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
from typing import Any, TextIO

from lumbarseg.errors import InputError
from lumbarseg.temporary_files import remove_abandoned_scratch

logger = logging.getLogger("lumbarseg")

GRACE_S = 3.0
"""Seconds between SIGTERM and the end of a job whose main thread does not handle the signal."""

# What has to live as long as the process, and whether the signal has been logged.
_termination: dict[str, Any] = {}


def open_terminal(descriptor: int = 2) -> TextIO:
    """Open a copy of a file descriptor for messages, which may name files whose names are not UTF-8."""
    return os.fdopen(os.dup(descriptor), "w", errors="backslashreplace")


def escape_undecodable() -> None:
    """Let standard output and error write names that are not UTF-8 with escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def job(log: str | os.PathLike[str]) -> Iterator[logging.Logger]:
    """Run a block as a job: its output and that of its libraries, C++ parts included, go to `log`.

    If the block fails, the log ends with the traceback and one sentence; only the sentence is shown, and the process exits with
    status 1. Warnings are shown as well. SIGTERM (SLURM, at the time limit) ends the job with status 143 after a line in the log,
    within `GRACE_S` seconds even during a long computation. Temporary folders of killed jobs are removed first.

    Args:
        log: the job's log file; an existing one is replaced.

    Yields:
        The library's logger.
    """
    remove_abandoned_scratch()
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    escape_undecodable()
    # File descriptors are redirected, because TensorFlow's C++ parts and child processes write to them.
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    shown = logging.StreamHandler(open_terminal(terminal))
    shown.setLevel(logging.WARNING)
    # The error that ends the job is shown below, because it must be shown even if logging fails.
    shown.addFilter(lambda record: record.levelno < logging.ERROR)
    logger.addHandler(handler)
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    _handle_termination()
    if "SLURM_JOB_ID" in os.environ:
        # The card a job was given is recorded nowhere else.
        names = ("SLURM_JOB_ID", "SLURMD_NODENAME", "SLURM_STEP_GPUS")
        logger.info("SLURM job %s on %s, card %s", *(os.environ.get(name, "none") for name in names))
    started = time.monotonic()
    try:
        yield logger
        logger.info("done in %.1f s", time.monotonic() - started)
    except Exception as error:  # any error: the user gets a sentence, the log the traceback
        traceback.print_exc()
        sentence = (
            str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error} (traceback in {log})"
        )
        logger.error("stopped: %s", sentence)
        os.write(terminal, f"{sentence}\n".encode(errors="backslashreplace"))
        sys.stderr.flush()
        os._exit(1)
    except KeyboardInterrupt:
        logger.info("stopped by Ctrl-C")
        os.write(terminal, b"stopped by Ctrl-C; finished work is kept\n")
        os._exit(130)


def _handle_termination() -> None:
    """Let SIGTERM end the job: by an exception in the main thread or, if that does not run Python code, by another thread."""
    # Python calls a signal handler between two bytecodes, and a call of a network may take a minute. The C part of Python writes
    # a byte for each signal at once; a thread reads it.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _on_termination)

    def wait_for_signal() -> None:
        while signal.SIGTERM not in reader.recv(1):
            pass
        time.sleep(GRACE_S)
        _log_termination()
        os._exit(143)

    threading.Thread(target=wait_for_signal, name="termination", daemon=True).start()
    # If the socket were collected, the thread would read its end.
    _termination["writer"] = writer


def _on_termination(signal_number: int, frame: FrameType | None) -> None:
    _log_termination()
    raise SystemExit(143)


def _log_termination() -> None:
    # Both threads may come here; the first one logs.
    if _termination.setdefault("logged_by", threading.get_ident()) == threading.get_ident():
        logger.info("stopped by SIGTERM (a scheduler sends it at the time limit); finished work is kept")
