"""Start of a training from the weights of another network."""

import tempfile
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.models.build import CLASSIFIER
from lumbarseg.models.metadata import read_metadata

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

    Names of layers say where in a network they are, so networks of one topology share all layers but the first convolution (other
    channels) or the classifier (other classes), and networks of different topologies the blocks that are the same. A name alone is
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
        if layer.name not in leave and other is not None and _fits(other, layer):
            layer.set_weights(
                [np.asarray(one, like.dtype) for one, like in zip(other.get_weights(), layer.weights, strict=True)]
            )
        else:
            fresh.append(layer.name)
    return fresh


def _layers_with_weights(network: keras.Model) -> list[Any]:
    return [layer for layer in network.layers if layer.weights]


def _fits(source: Any, target: Any) -> bool:
    shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in (source, target)]
    return shapes[0] == shapes[1] and _place(source) == _place(target)


def _place(layer: Any) -> tuple[list[str], bool]:
    """Return the names of a layer's inputs, and whether batch normalisation follows."""
    before = [tensor._keras_history.operation.name for node in layer._inbound_nodes for tensor in node.input_tensors]
    after = [node.operation for node in layer._outbound_nodes]
    return before, any(isinstance(one, keras.layers.BatchNormalization) for one in after)


def _load(path: Path, member: str | None) -> tuple[keras.Model, list[str]]:
    """Read a network and the names of its classes."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = path
            if member:
                with zipfile.ZipFile(path) as archive:
                    file = Path(archive.extract(member, folder))
            return keras.models.load_model(file, compile=False), read_metadata(file)["classes"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: damaged, or not trained by this workflow ({error}); copy the file again, or change `training.start_from`"
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
