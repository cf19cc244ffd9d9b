"""Networks from files that may come from anybody, such as those of a bundle.

Of a file, nothing but the weights and the names of its layers is used: networks are built from the topology that the bundle
states. Whatever the file says of its layers, no code of it runs. Reading takes no more memory than the file; a network is built only if
its file has at least a fortieth of its weights (`build.fewest_parameters`), as float16 or float32.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.models.metadata import METADATA, require_metadata
from lumbarseg.stored_archive import opened_archive
from lumbarseg.temporary_files import temporary_folder
from lumbarseg.user_files import printable

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {CONFIG, WEIGHTS, METADATA, "metadata.json"}
# Layers with weights, and how Keras names them in a file of weights; the second of a kind ends in _1.
_WEIGHTED = {
    "Conv2D": "conv2d", "Conv2DTranspose": "conv2d_transpose", "BatchNormalization": "batch_normalization", "PReLU": "p_re_lu",
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
        InputError: the file is damaged, no network of this workflow, or another one; it holds compressed or linked weights, or weights
            that are not finite, or its layers are not those of the built network.
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
        except InputError:
            raise
        except Exception as error:  # zipfile and HDF5 raise whatever a file leads to
            raise InputError(f"{path}: damaged network ({_shown(error)}); train it again") from error
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
        kinds = {layer.name: type(layer).__name__ for layer in network.layers}
        try:
            for name, arrays in _weights_of(weights, kinds):
                network.get_layer(name).set_weights(arrays)
        except Exception as error:  # Keras and HDF5 raise whatever a file leads to
            raise InputError(
                f"{path}: weights that the network cannot have ({_shown(error)}); put the right file in its place"
            ) from error
    return network


def _shown(error: Exception) -> str:
    return printable(" ".join(str(error).split())[:120])


@dataclass(frozen=True)
class LayerWeights:
    """The weights of a layer, and its place in the network.

    Attributes:
        inputs: names of the layers whose outputs it takes.
        takes_images: whether one of them is the network's input.
        is_normalised: whether batch normalisation follows.
        weights: arrays or variables in the order of Keras, float16 or float32.
    """

    inputs: Sequence[str]
    takes_images: bool
    is_normalised: bool
    weights: Sequence[Any]


def read_layers(path: Path) -> dict[str, LayerWeights]:
    """Read the weights of a network whose topology is not known, without building it.

    Args:
        path: a `.keras` file written by `metadata.save_network`.

    Returns:
        By name, the layers that have weights, in the order of the network.

    Raises:
        Exception: the file is damaged, no network, or holds weights that are not plain (`count_values`) or not finite; h5py and
            zipfile raise whatever damage leads to.
    """
    with temporary_folder("weights") as folder, opened_archive(path) as archive:
        layers = json.loads(archive.read(CONFIG))["config"]["layers"]
        archive.copy(WEIGHTS, folder / WEIGHTS)
        count_values(folder / WEIGHTS)
        kinds = {layer["config"]["name"]: layer["class_name"] for layer in layers}
        if len(kinds) < len(layers):
            raise ValueError("two layers of one name")
        weights = dict(_weights_of(folder / WEIGHTS, kinds))
    inputs = {layer["config"]["name"]: list(_inputs(layer["inbound_nodes"])) for layer in layers}
    images = {name for name, kind in kinds.items() if kind == "InputLayer"}
    normalised = {name for layer, kind in kinds.items() if kind == "BatchNormalization" for name in inputs[layer]}
    return {
        name: LayerWeights(inputs[name], not images.isdisjoint(inputs[name]), name in normalised, arrays)
        for name, arrays in weights.items()
    }


def _weights_of(file: Path, kinds: Mapping[str, str]) -> Iterator[tuple[str, list[Any]]]:
    """Read the weights of the layers that have some.

    Args:
        file: HDF5 that `count_values` has checked.
        kinds: names of the classes of layers by the layers' names, in the order of the network.

    Yields:
        Name and arrays of a layer.

    Raises:
        Exception: they are not there, or not finite.
    """
    numbers = Counter[str]()
    with h5py.File(file, "r") as stored:
        for name, kind in kinds.items():
            if kind in _WEIGHTED:
                place = f"layers/{_WEIGHTED[kind]}{f'_{numbers[kind]}' if numbers[kind] else ''}/vars"
                numbers[kind] += 1
                arrays = [stored[f"{place}/{number}"][()] for number in range(len(stored[place]))]
                if not all(np.isfinite(array).all() for array in arrays):
                    raise ValueError("some are not finite")
                yield name, arrays


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
        ValueError: the file holds anything but groups and plain float16 or float32 arrays, each in one place: compressed, virtual
            or external arrays, links, too many levels, or arrays that are larger than the file.
        OSError: it is damaged.
    """
    values, left, seen = 0, weights.stat().st_size, set[tuple[int, int]]()
    with h5py.File(weights, "r") as file:
        for array in _arrays(file, _DEEPEST, seen):
            values += array.size
            left -= array.size * array.dtype.itemsize
            if left < 0:
                raise ValueError("arrays larger than the file")
    return values


def _arrays(group: h5py.Group, levels: int, seen: set[tuple[int, int]]) -> Iterator[h5py.Dataset]:
    if not levels:
        raise ValueError("too many levels")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError("links to other places")
        found = group[name]
        place = h5py.h5o.get_info(found.id)
        if (place.fileno, place.addr) in seen:
            raise ValueError("one part in several places")
        seen.add((place.fileno, place.addr))
        if isinstance(found, h5py.Group):
            yield from _arrays(found, levels - 1, seen)
        elif not isinstance(found, h5py.Dataset) or found.dtype not in (np.float16, np.float32):
            raise ValueError("something that is no array of float16 or float32")
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
