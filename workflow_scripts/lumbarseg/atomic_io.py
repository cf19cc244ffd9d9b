"""Whole files or none: everything is written to a temporary name beside its target and moved there when complete."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumbarseg.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; move it to `path` if the block succeeds, remove it if it does not.

    The temporary name keeps the target's endings (`.nii.gz`), which many writers go by, and carries the process id,
    so two jobs never write to the same one. Parent folders are made.

    Args:
        path: the file to be written.

    Yields:
        The temporary path, in the same folder.

    Raises:
        InputError: the disk is full, or the quota used up; what stood at `path` is still there.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".part-{os.getpid()}-{target.name}")
    try:
        with disk_full_as_input_error(target):
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def disk_full_as_input_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say it in a sentence if the block finds no room for the file `path`.

    Raises:
        InputError: the disk is full, or the quota used up.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(
                f"{path}: expected room to write it, found none ({os.strerror(error.errno)}); make room or ask for more, then "
                "run the same command again; what was finished is kept"
            ) from error
        raise


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented UTF-8 JSON, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: str | os.PathLike[str], table: "pd.DataFrame") -> None:
    """Write a table as CSV without its index, whole or not at all; compressed if the name ends in `.gz`."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file written by `write_json` or by a converter."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def atomic_copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a file, whole or not at all."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
