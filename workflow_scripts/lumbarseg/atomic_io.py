"""Atomic writes: a file is written under a temporary name next to its target and moved there once it is complete."""

import errno
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumbarseg.errors import InputError
from lumbarseg.spreadsheets import harmless_table
from lumbarseg.temporary_files import PART, owned_name

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path; move it to `path` if the block succeeds, remove it if the block fails.

    The temporary name keeps the target's endings (`.nii.gz`), which many writers rely on, and names its owner
    (`temporary_files`): two jobs never share it, not even on two nodes, and what a killed job left is removed at a later start.
    Missing parent folders are created.

    Args:
        path: the file to be written.

    Yields:
        The temporary path, in the same folder.

    Raises:
        InputError: the disk is full or the quota is used up; a previous file at `path` is kept.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{PART}{owned_name()}-{target.name}")
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
    """Write a table atomically as CSV without its index and without formulas, compressed if the name ends in `.gz`.

    The same table gives the same bytes: the header of gzip has neither the time nor the temporary name.
    """
    table = harmless_table(table)
    with atomic_write(path) as temporary:
        if temporary.suffix != ".gz":
            table.to_csv(temporary, index=False)
            return
        with temporary.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
            table.to_csv(compressed, index=False)


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
