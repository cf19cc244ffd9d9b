"""The folder of a command's results: nothing of the user's is replaced there, and results appear together."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lumbarseg.errors import InputError
from lumbarseg.temporary_files import PART, folder_beside_results, remove_abandoned_parts

if TYPE_CHECKING:
    from lumbarseg.training.lock import Lock


@contextmanager
def results_job(
    name: str, folder: Path, results: Sequence[str], inputs: Sequence[Path], overwrite: bool
) -> Iterator[Path]:
    """Run a block as a job (`joblog.job`) that makes results, and move them to the user's folder when all are there.

    Results of an earlier run that this one does not have are removed then. If the block fails, the folder has only a new log.
    Only one run at a time writes to a folder.

    Args:
        name: of the log, `<name>.log`, or with a number if there is one.
        folder: the user's folder; created if missing.
        results: names of all files that may result.
        inputs: files and folders that are read; they are never replaced.
        overwrite: whether results of an earlier run are replaced.

    Yields:
        An empty folder for the results.

    Raises:
        InputError: the folder cannot be created or written to, is or holds an input, has results already, or another run
            writes to it.
    """
    from lumbarseg.workflow.joblog import job

    _require_room(folder, results, inputs, overwrite)
    with ExitStack() as held:
        held.callback(_own(folder).release)
        # Another run may have ended just before this one owned the folder.
        _require_room(folder, results, inputs, overwrite)
        remove_abandoned_parts(folder)
        log = _new_log(folder, name)
        # A job that fails ends the process, so the folder is released within it.
        with job(log), held.pop_all(), folder_beside_results(folder, PART) as made:
            yield made
            # The user may have put something there in the meantime.
            _require_room(folder, results, inputs, overwrite)
            for result in results:
                (folder / result).unlink(missing_ok=True)
            for path in sorted(made.iterdir()):
                path.replace(folder / path.name)


def _own(folder: Path) -> "Lock":
    """Return the lock of a folder, which is ours until it is released or this process ends, however it ends."""
    from lumbarseg.training.lock import Lock

    lock = Lock(folder / ".lumbarseg")
    try:
        lock.acquire(wait=False)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return lock


def _require_room(folder: Path, names: Sequence[str], inputs: Sequence[Path], overwrite: bool) -> None:
    """Create the folder, and require that writing results there replaces nothing of the user's."""
    _make_folder(folder)
    for path in inputs:
        if _same(path, folder):
            raise InputError(f"{folder}: a folder that is read; name another one as --output")
        if any(_same(path, folder / name) for name in names):
            raise InputError(f"{path}: read, and would be replaced by a result; name another folder as --output")
    taken = [name for name in names if os.path.lexists(folder / name)]
    if folders := [name for name in taken if (folder / name).is_dir()]:
        raise InputError(f"{folder / folders[0]}: a folder where a result would be; name another folder as --output")
    if taken and not overwrite:
        shown = ", ".join(taken[:3]) + (" …" if len(taken) > 3 else "")
        raise InputError(
            f"{folder}: has {shown} already; name another folder as --output, or replace them with --overwrite"
        )


def _new_log(folder: Path, name: str) -> Path:
    """Create a log that replaces none: `<name>.log`, or with a number if there is one."""
    for number in itertools.count(1):
        log = folder / (f"{name}.log" if number == 1 else f"{name}-{number}.log")
        try:
            log.open("x").close()
        except FileExistsError:
            continue
        except OSError as error:
            raise _not_writable(folder, error) from error
        return log
    raise AssertionError("numbers do not end")


def _not_writable(folder: Path, error: OSError) -> InputError:
    return InputError(f"{folder}: cannot write to the folder ({error.strerror}); name another one as --output")


def _same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file or folder. A missing one is reported by its reader."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot create the folder ({error.strerror}); name another one as --output"
        ) from error
    if not writable:
        raise InputError(f"{folder}: no permission to write to the folder; name another one as --output")
