"""Atomic writes: a file is written under a temporary name next to its target and moved there once it is complete."""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumbarseg.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path; move it to `path` if the block succeeds, remove it if the block fails.

    The temporary name keeps the target's endings (`.nii.gz`), which many writers rely on, and carries a random id: two
    jobs never share it, not even on two nodes, whose process ids may be equal. Missing parent folders are created.

    Args:
        path: the file to be written.

    Yields:
        The temporary path, in the same folder.

    Raises:
        InputError: the disk is full or the quota is used up; a previous file at `path` is kept.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".part-{uuid.uuid4().hex}-{target.name}")
    try:
        with disk_full_as_input_error(target):
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def disk_full_as_input_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the errors of a full disk or quota into a sentence that names the file `path`.

    Raises:
        InputError: the disk is full or the quota is used up.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(
                f"{path}: no space left to write it ({os.strerror(error.errno)}); free some space or raise the quota, then "
                "run the same command again (finished results are kept)"
            ) from error
        raise


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` atomically as indented UTF-8 JSON."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: str | os.PathLike[str], table: "pd.DataFrame") -> None:
    """Write a table atomically as CSV without its index, compressed if the name ends in `.gz`."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file written by `write_json` or by a converter.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged JSON file ({type(error).__name__}); delete it and run the same command again"
        ) from error


def atomic_copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a file atomically."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
