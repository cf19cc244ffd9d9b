"""Whole files or none: everything is written to a temporary name beside its target and moved there when complete."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; move it to `path` if the block succeeds, remove it if it does not.

    The temporary name keeps the target's endings (`.nii.gz`), which many writers go by, and carries the process id,
    so two jobs never write to the same one. Parent folders are made.

    Args:
        path: the file to be written.

    Yields:
        The temporary path, in the same folder.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".part-{os.getpid()}-{target.name}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented UTF-8 JSON, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file written by `write_json` or by a converter."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def copy_whole(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a file, whole or not at all."""
    with whole(target) as temporary:
        shutil.copyfile(source, temporary)
