"""Slices that figures show, in one file of arrays: so that a figure is drawn again where the images are not."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from lumbarseg.atomic_io import atomic_write

Item = TypeVar("Item")
_DESCRIPTION = "description"


def store_slices(path: str | os.PathLike[str], items: Sequence[Any]) -> None:
    """Write `Case`, `LabelledSlice` or `Preprocessing` objects to a compressed NumPy file (no pickle in it).

    Args:
        path: an `.npz` file.
        items: data classes whose fields are arrays, mappings of arrays, or what JSON knows.
    """
    arrays: dict[str, Any] = {}
    described = []
    for place, item in enumerate(items):
        plain: dict[str, Any] = {}
        for field in fields(item):
            value = getattr(item, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{place}/{field.name}"] = value
            elif isinstance(value, Mapping):
                arrays |= {f"{place}/{field.name}/{name}": part for name, part in value.items()}
                plain[field.name] = {"mapping of": list(value)}
            else:
                plain[field.name] = np.asarray(value).tolist() if isinstance(value, Sequence) and not isinstance(value, str) else value  # fmt: skip
        described.append(plain)
    arrays[_DESCRIPTION] = np.array(json.dumps(described))
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def restore_slices(path: str | os.PathLike[str], kind: type[Item]) -> list[Item]:
    """Read what `store_slices` wrote.

    Args:
        path: the file.
        kind: the data class.

    Returns:
        The objects, in their order.
    """
    with np.load(path, allow_pickle=False) as file:
        items = []
        for place, plain in enumerate(json.loads(file[_DESCRIPTION].item())):
            values: dict[str, Any] = {}
            for field in fields(kind):  # type: ignore[arg-type]
                value = plain.get(field.name)
                if isinstance(value, dict):
                    value = {name: file[f"{place}/{field.name}/{name}"] for name in value["mapping of"]}
                elif field.name not in plain:
                    value = file[f"{place}/{field.name}"]
                values[field.name] = tuple(value) if isinstance(value, list) else value
            items.append(kind(**values))
    return items
