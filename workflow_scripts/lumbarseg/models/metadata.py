"""Network files that carry their metadata: which topology, fold, channels and classes they belong to."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.stored_archive import opened_archive
from lumbarseg.user_files import printable

METADATA = "lumbarseg.json"
"""The member of a network's file that holds its metadata."""


def network_metadata(name: str, fold: int, channels: Sequence[str], class_names: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of a network or meta-learner.

    Args:
        name: of the topology, or of the model whose meta-learner it is.
        fold: in which it was trained, 1 … number of folds.
        channels: contrasts of the images, in their order.
        class_names: in the order of their ids.
    """
    return {"name": name, "fold": fold, "channels": list(channels), "classes": list(class_names)}


def save_network(network: keras.Model, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write a network as a `.keras` file whose bytes depend only on the network and its metadata.

    The metadata is a member of the archive, which Keras ignores, so it cannot be lost or mixed up with that of another file.
    What differs between two identical networks is normalised: the date, and the ids of shared objects, which Keras takes
    from their addresses in memory.
    """
    network.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    keras_metadata = json.loads(members["metadata.json"])
    del keras_metadata["date_saved"]
    members["metadata.json"] = json.dumps(keras_metadata).encode()
    members["config.json"] = json.dumps(_number_shared_objects(members["config.json"])).encode()
    if metadata:
        members[METADATA] = json.dumps(dict(metadata), ensure_ascii=False).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _number_shared_objects(config: bytes) -> Any:
    """Return a config in which the ids of shared objects are 0, 1, … in the order in which they first occur."""
    numbers: dict[int, int] = {}

    def renumber(part: dict[str, Any]) -> dict[str, Any]:
        if "shared_object_id" in part:
            part["shared_object_id"] = numbers.setdefault(part["shared_object_id"], len(numbers))
        return part

    return json.loads(config, object_hook=renumber)


def load_network(path: str | Path, expected: Mapping[str, Any]) -> keras.Model:
    """Read a network and require that it is the expected one.

    Args:
        path: a `.keras` file written by `save_network`.
        expected: its metadata.

    Raises:
        InputError: the file is not a network of this workflow, it belongs to another topology, fold, channels or classes, or its
            weights are not finite.
    """
    require_metadata(path, expected)
    network = keras.models.load_model(path, compile=False)
    _require_finite(network, path)
    return network


def _require_finite(network: keras.Model, path: str | Path) -> None:
    """Require weights that are finite: labels of others would be wrong.

    Args:
        network: a network that was read.
        path: its file, for the message.

    Raises:
        InputError: a weight is NaN or infinite.
    """
    if not all(np.isfinite(np.asarray(one)).all() for one in network.weights):
        raise InputError(f"{path}: the network's weights are not finite; train it again, with a smaller learning rate")


def require_metadata(path: str | Path, expected: Mapping[str, Any]) -> None:
    """Require that a file is the expected network, without reading the network.

    Args:
        path: a `.keras` file written by `save_network`.
        expected: its metadata.

    Raises:
        InputError: as `load_network`.
    """
    try:
        found = read_metadata(path)
    except (OSError, ValueError, TypeError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a network trained by this workflow ({error}); train it again") from error
    for key, value in expected.items():
        if found.get(key) != value:
            raise InputError(
                f"{path}: the network's {_NAMES[key]} is {_text(found.get(key))}, expected {_text(value)}; put the right file "
                "in its place, or train it again"
            )


def load_trained(path: str | Path, expected: Mapping[str, Any], stage: str) -> keras.Model:
    """Read a network that the study has trained, see `load_network`.

    Args:
        path: its `.keras` file.
        expected: its metadata.
        stage: the stage of the workflow that trains it, for messages.

    Raises:
        InputError: as for `load_network`, or the file is damaged.
    """
    try:
        return load_network(path, expected)
    except InputError:
        raise
    except Exception as error:  # zipfile, HDF5 and Keras raise whatever damage leads to
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(
            f"{path}: damaged network ({reason}); delete it and run `snakemake {stage}` again, which trains it again"
        ) from error


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata of a network's file.

    Raises:
        OSError, ValueError, TypeError, RecursionError, zipfile.BadZipFile: the file is no archive, or has no metadata.
    """
    with opened_archive(Path(path)) as archive:
        return dict(json.loads(archive.read(METADATA)))


_NAMES = {"name": "model", "fold": "fold", "channels": "list of channels", "classes": "list of classes"}


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return printable(text[:200])
