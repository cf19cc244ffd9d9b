"""Start of a training from the weights of another network."""

import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.models.build import CLASSIFIER
from lumbarseg.models.metadata import read_metadata
from lumbarseg.models.stored_network import load_unstated_network
from lumbarseg.stored_archive import opened_archive
from lumbarseg.temporary_files import temporary_folder
from lumbarseg.user_files import printable

_SHOWN = 12
"""Layers that start fresh and are named in a log."""


def start_from(target: keras.Model, path: Path, member: str | None, class_names: Sequence[str]) -> str:
    """Set the weights of a network to those of a stored one, as far as its layers fit.

    Args:
        target: whose weights are set; layers that do not fit keep their initial weights.
        path: a `.keras` file, or an archive that holds one.
        member: name of the network within the archive; None for a `.keras` file.
        class_names: classes of `target` in the order of their ids; the classifier of a network with other classes does not fit.

    Returns:
        A line for the log: how many layers start from the stored network, and which do not.

    Raises:
        InputError: the file cannot be read, or none of its layers fits.
    """
    source, classes = _load(path, member)
    fresh = copy_weights(source, target, leave=[CLASSIFIER] if classes != list(class_names) else [])
    layers = _layers_with_weights(target)
    place = f"{path}, {member}" if member else str(path)
    if len(fresh) == len(layers):
        raise InputError(
            f"{place}: no layer of this network fits {target.name}, because {_difference(source, target)}; change "
            "`training.start_from`, or set it to null"
        )
    named = ", ".join(fresh[:_SHOWN]) + (f" and {len(fresh) - _SHOWN} more" if len(fresh) > _SHOWN else "")
    return f"{len(layers) - len(fresh)} of {len(layers)} layers start from {place}; fresh: {named or 'none'}"


def copy_weights(source: keras.Model, target: keras.Model, leave: Collection[str] = ()) -> list[str]:
    """Copy the weights of all layers that both networks have at the same place and with the same shapes.

    Names of layers say where in a network they are, so networks of one topology share all layers but the classifier (other classes),
    and networks of different topologies the blocks that are the same. Of convolutions of the images, the kernels of the channels
    that both have are copied (T2w comes first); those of a new channel start at zero, so that the network starts as it was. A name alone is
    not enough: the classifier of UD takes the output of deep supervision, that of U1 the decoder's; convolutions of VGG blocks have
    no batch normalisation. Layers therefore also need inputs of the same names, and normalisation after them in both networks or in
    neither.

    Args:
        source: trained; its weights may have another precision.
        target: whose weights are set; what does not fit keeps its initial weights.
        leave: names of layers that are not copied.

    Returns:
        Names of the target's layers that have weights and keep them, in the order of the network.
    """
    known = {layer.name: layer for layer in _layers_with_weights(source)}
    fresh = []
    for layer in _layers_with_weights(target):
        other = known.get(layer.name)
        weights = _fitting_weights(other, layer) if layer.name not in leave and other is not None else None
        if weights is None:
            fresh.append(layer.name)
        else:
            layer.set_weights(weights)
    return fresh


def _layers_with_weights(network: keras.Model) -> list[Any]:
    return [layer for layer in network.layers if layer.weights]


def _fitting_weights(source: Any, target: Any) -> list[Any] | None:
    """Return the source's weights in the target's shapes and dtypes; None if the layers do not fit."""
    if _place(source) != _place(target):
        return None
    weights = [np.asarray(one, like.dtype) for one, like in zip(source.get_weights(), target.weights, strict=False)]
    if weights and _takes_images(target) and weights[0].ndim == 4:
        weights[0] = _with_channels(weights[0], target.weights[0].shape[2])
    shapes = [[tuple(one.shape) for one in several] for several in (weights, target.weights)]
    return weights if shapes[0] == shapes[1] else None


def _takes_images(layer: Any) -> bool:
    inputs = [tensor._keras_history.operation for node in layer._inbound_nodes for tensor in node.input_tensors]
    return any(isinstance(one, keras.layers.InputLayer) for one in inputs)


def _with_channels(kernel: Any, channels: int) -> Any:
    """Return a kernel of the first channels (T2w is the first of every network), with zeros for channels that the source lacks."""
    kept = kernel[:, :, :channels]
    return np.pad(kept, ((0, 0), (0, 0), (0, channels - kept.shape[2]), (0, 0)))


def _place(layer: Any) -> tuple[list[str], bool]:
    """Return the names of a layer's inputs, and whether batch normalisation follows."""
    before = [tensor._keras_history.operation.name for node in layer._inbound_nodes for tensor in node.input_tensors]
    after = [node.operation for node in layer._outbound_nodes]
    return before, any(isinstance(one, keras.layers.BatchNormalization) for one in after)


def _load(path: Path, member: str | None) -> tuple[keras.Model, list[str]]:
    """Read a network and the names of its classes."""
    try:
        with temporary_folder("network") as folder:
            file = path
            if member:
                file = folder / "network.keras"
                with opened_archive(path) as archive:
                    archive.copy(member, file)
            return load_unstated_network(file), list(read_metadata(file)["classes"])
    except (OSError, KeyError, ValueError, TypeError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: damaged, or not trained by this workflow ({printable(str(error)[:120])}); copy the file again, or change `training.start_from`"
        ) from error


def _difference(source: keras.Model, target: keras.Model) -> str:
    """Word why no layer of two networks fits."""
    theirs, ours = (_base_filters(network) for network in (source, target))
    if theirs is not None and theirs != ours:
        return f"it was trained with `training.base_filters: {theirs}`, not {ours}"
    return f"it is made of other blocks ({source.name})"


def _base_filters(network: keras.Model) -> int | None:
    """Return m, the channels that the classifier takes; None for a network without classifier."""
    layer = next((layer for layer in network.layers if layer.name == CLASSIFIER), None)
    return None if layer is None else int(layer.kernel.shape[-2])
