"""What a job says: everything to its log, to the terminal only the sentence a user needs."""

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lumbarseg.errors import InputError

logger = logging.getLogger("lumbarseg")


@contextmanager
def job(log: str | os.PathLike[str]) -> Iterator[logging.Logger]:
    """Run a block as a job: its output, its libraries' and their C++ parts' go to `log`.

    If the block fails, the log ends with the traceback and then one sentence; the sentence alone is shown, and the
    process exits with status 1. SIGTERM (SLURM, at the time limit) ends the job with 143 after a line in the log.

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
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _terminated)
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


def _terminated(signal_number: int, frame: FrameType | None) -> None:
    logger.info("stopped by SIGTERM, as a scheduler sends at the time limit; all finished epochs are kept")
    raise SystemExit(143)
