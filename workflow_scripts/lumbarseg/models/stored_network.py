"""Networks from files that may come from anybody, such as those of a bundle.

The layers are built from the topology that the bundle states; of the file, nothing but the weights is used. Whatever the file
says of its layers, no code of it runs, and memory is bounded by the size of the file.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras

from lumbarseg.errors import InputError
from lumbarseg.models.metadata import METADATA, require_metadata
from lumbarseg.stored_archive import opened_archive
from lumbarseg.temporary_files import temporary_folder
from lumbarseg.user_files import printable

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {CONFIG, WEIGHTS, METADATA, "metadata.json"}
_KINDS = {
    "InputLayer", "Conv2D", "Conv2DTranspose", "BatchNormalization", "PReLU", "ReLU", "MaxPooling2D", "UpSampling2D", "Concatenate",
    "Add", "Average", "Multiply", "Activation", "Cropping2D",
}  # fmt: skip
_DEEPEST = 8  # levels of groups
# What two files of the same network may differ in: precision, initial weights, and what Keras notes of a compilation.
_IRRELEVANT = ("dtype", "shared_object_id", "build_config", "compile_config", "registered_name")


def load_stored_network(
    path: Path, expected: Mapping[str, Any], build: Callable[[], keras.Model], fewest: int
) -> keras.Model:
    """Build a network and read its weights from a file.

    Args:
        path: a `.keras` file written by `metadata.save_network`.
        expected: the metadata it must have.
        build: builds the untrained network; called once it is known that the file has as many weights.
        fewest: weights that the built network has at least; an array of so many fits into memory.

    Returns:
        The network in the precision that `build` gives it.

    Raises:
        InputError: the file is damaged, no network of this workflow, or another one; it holds compressed or linked weights, or its
            layers are not those of the built network.
    """
    require_metadata(path, expected)
    with temporary_folder("weights") as folder:
        weights = folder / WEIGHTS
        try:
            with opened_archive(path) as archive:
                if not set(archive.names) <= _MEMBERS:
                    raise InputError(f"{path}: the network has additional files; train it again")
                config = json.loads(archive.read(CONFIG))
                archive.copy(WEIGHTS, weights)
            values = count_values(weights)
        except (zipfile.BadZipFile, ValueError, KeyError, OSError, RuntimeError, RecursionError) as error:
            raise InputError(f"{path}: damaged network ({printable(str(error)[:120])}); train it again") from error
        if values < fewest:
            raise InputError(
                f"{path}: {values} weights, where the topology has at least {fewest}; put the right file in its place"
            )
        network = build()
        ours = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
        if values != network.count_params() or not _same_layers(config, ours):
            raise InputError(
                f"{path}: the layers are not those of the topology {network.name}; put the right file in its place, or use the "
                "version of the workflow that trained it"
            )
        network.load_weights(weights)
    return network


def load_unstated_network(path: Path) -> keras.Model:
    """Read a network whose topology is not known, to copy weights from it.

    Raises:
        ValueError, zipfile.BadZipFile, OSError, KeyError, TypeError, RecursionError: the file is damaged, or its layers are of other
            kinds than those of this workflow or larger than its weights.
    """
    with temporary_folder("weights") as folder, opened_archive(path) as archive:
        config = json.loads(archive.read(CONFIG))
        archive.copy(WEIGHTS, folder / WEIGHTS)
        if _stated_values(config) != count_values(folder / WEIGHTS):
            raise ValueError("its layers are not those of its weights")
    return keras.models.load_model(path, compile=False)


def _stated_values(config: Mapping[str, Any]) -> int:
    """Count the weights of the layers that a network's config states, from their settings alone.

    Raises:
        ValueError: a layer is none that networks of this workflow have.
    """
    channels: dict[str, int] = {}
    total = 0
    for layer in config["config"]["layers"]:
        kind, own = layer["class_name"], layer["config"]
        if layer.get("module") != "keras.layers" or kind not in _KINDS:
            raise ValueError("it has a layer that no network of this workflow has")
        if kind == "InputLayer":
            channels[own["name"]] = int(own["batch_shape"][-1])
            continue
        given = [channels[name] for name in _inputs(layer["inbound_nodes"])]
        size = max(given)  # of a sum or product, in which one channel counts for all
        if kind == "Concatenate":
            size = sum(given)
        elif kind in ("Conv2D", "Conv2DTranspose"):
            size = int(own["filters"])
            rows, columns = (int(side) for side in own["kernel_size"])
            if own["activation"] != "linear":
                raise ValueError("it has a layer that no network of this workflow has")
            total += rows * columns * given[0] * size + (size if own["use_bias"] else 0)
        total += {"BatchNormalization": 4, "PReLU": 1}.get(kind, 0) * size
        if size < 1 or (kind == "PReLU" and own["shared_axes"] != [1, 2]):
            raise ValueError("it has a layer that no network of this workflow has")
        channels[own["name"]] = size
    return total


def _inputs(part: Any) -> Iterator[str]:
    """Yield the names of the layers whose outputs a layer takes."""
    if isinstance(part, dict):
        if "keras_history" in part:
            yield str(part["keras_history"][0])
        for one in part.values():
            yield from _inputs(one)
    elif isinstance(part, list):
        for one in part:
            yield from _inputs(one)


def count_values(weights: Path) -> int:
    """Count the values in a file of weights without reading them.

    Args:
        weights: an HDF5 file as Keras writes it.

    Raises:
        ValueError: the file holds anything but groups and plain arrays of numbers: compressed, virtual or external arrays, links,
            too many levels, or arrays that are larger than the file.
        OSError: it is damaged.
    """
    with h5py.File(weights, "r") as file:
        arrays = list(_arrays(file, _DEEPEST))
        if sum(array.size * array.dtype.itemsize for array in arrays) > weights.stat().st_size:
            raise ValueError("arrays larger than the file")
        return sum(array.size for array in arrays)


def _arrays(group: h5py.Group, levels: int) -> Iterator[h5py.Dataset]:
    if not levels:
        raise ValueError("too many levels")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError("links to other places")
        found = group[name]
        if isinstance(found, h5py.Group):
            yield from _arrays(found, levels - 1)
        elif not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
            raise ValueError("something that is no array of numbers")
        elif found.is_virtual or found.external or found.id.get_create_plist().get_nfilters():
            raise ValueError("compressed or external arrays")
        elif found.id.get_storage_size() != found.size * found.dtype.itemsize:
            raise ValueError("arrays that are not stored as they are")
        else:
            yield found


def _same_layers(theirs: Any, ours: Any) -> bool:
    """Return whether two parts of a network's config say the same, as far as both say it: versions of Keras add keys."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        common = {
            key for key in ours.keys() & theirs.keys() if key not in _IRRELEVANT and not key.endswith("_initializer")
        }
        required = {"class_name", "name", "layers", "inbound_nodes"} & ours.keys()
        return required <= theirs.keys() and all(_same_layers(theirs[key], ours[key]) for key in common)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same_layers, theirs, ours))
    return bool(theirs == ours)
