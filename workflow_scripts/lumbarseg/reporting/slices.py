"""Slices that figures show, and how they are stored: in one file of arrays, so that figures can be drawn where the images are not."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lumbarseg.atomic_io import atomic_write
from lumbarseg.errors import InputError

Item = TypeVar("Item")
_DESCRIPTION = "description"


@dataclass(frozen=True)
class Case:
    """One test slice with the predictions of some experiments.

    Attributes:
        name: shown next to its row: `best`, `median`, `worst`.
        t2w: (H, W), any intensities.
        t1w: (H, W) on the T2w grid; None in a study without T1w.
        truth: (H, W) uint8 class ids.
        predictions: experiment → (H, W) uint8 class ids; the same experiments in each case.
        spacing: millimetres between rows and between columns.
    """

    name: str
    t2w: NDArray[np.floating]
    t1w: NDArray[np.floating] | None
    truth: NDArray[np.uint8]
    predictions: Mapping[str, NDArray[np.uint8]]
    spacing: tuple[float, float]


@dataclass(frozen=True)
class LabelledSlice:
    """One slice with its ground truth.

    Attributes:
        t2w: (H, W), any intensities.
        t1w: (H, W) on the T2w grid; None in a study without T1w.
        truth: (H, W) uint8 class ids.
        spacing: millimetres between rows and between columns.
        name: shown next to it.
    """

    t2w: NDArray[np.floating]
    t1w: NDArray[np.floating] | None
    truth: NDArray[np.uint8]
    spacing: tuple[float, float]
    name: str = ""


@dataclass(frozen=True)
class Preprocessing:
    """One slice on its way to patches; all arrays (H, W).

    Attributes:
        t2w: as converted.
        t1w_before: on the T2w grid by header geometry alone; None in a study without T1w.
        t1w_after: on the T2w grid after registration; None with `t1w_before`.
        normalised_t2w: z-scores.
        normalised_t1w: z-scores; None with `t1w_before`.
        truth: uint8 class ids.
        spacing: millimetres between rows and between columns.
        row_starts: first rows of the patches.
        column_starts: first columns of the patches.
        side: rows and columns of a patch.
    """

    t2w: NDArray[np.floating]
    t1w_before: NDArray[np.floating] | None
    t1w_after: NDArray[np.floating] | None
    normalised_t2w: NDArray[np.floating]
    normalised_t1w: NDArray[np.floating] | None
    truth: NDArray[np.uint8]
    spacing: tuple[float, float]
    row_starts: Sequence[int]
    column_starts: Sequence[int]
    side: int


@dataclass(frozen=True)
class UncertainSlice:
    """One test slice with an ensemble's prediction and its uncertainty.

    Attributes:
        name: shown next to it.
        t2w: (H, W), any intensities.
        truth: (H, W) uint8 class ids.
        prediction: (H, W) uint8 class ids.
        entropy: (H, W) nats, of the ensemble's scores.
        mutual_information: (H, W) nats, how far its networks disagree.
        spacing: millimetres between rows and between columns.
    """

    name: str
    t2w: NDArray[np.floating]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    entropy: NDArray[np.floating]
    mutual_information: NDArray[np.floating]
    spacing: tuple[float, float]


@dataclass(frozen=True)
class SessionImages:
    """A session in sagittal view, all arrays (slices, rows, columns).

    Attributes:
        t2w: any intensities.
        t1w_before: T1w on the T2w grid by header geometry alone; None in a study without T1w.
        t1w_after: T1w on the T2w grid after registration; None with `t1w_before`.
        labels: uint8 class ids; None without a mask.
        spacing: millimetres between rows and between columns.
    """

    t2w: NDArray[np.generic]
    t1w_before: NDArray[np.generic] | None
    t1w_after: NDArray[np.generic] | None
    labels: NDArray[np.uint8] | None
    spacing: tuple[float, float]


def store_slices(path: str | os.PathLike[str], items: Sequence[Any]) -> None:
    """Write objects of one of the data classes above to a compressed NumPy file, without pickle.

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

    Raises:
        InputError: the file is damaged.
    """
    try:
        return _restored(path, kind)
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: damaged slices of a figure ({type(error).__name__}); delete it and run `snakemake figures` again"
        ) from error


def _restored(path: str | os.PathLike[str], kind: type[Item]) -> list[Item]:
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
