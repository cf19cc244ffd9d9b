"""Start of a training from the weights of another network."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lumbarseg.errors import InputError
from lumbarseg.models.build import CLASSIFIER
from lumbarseg.models.metadata import read_metadata
from lumbarseg.models.stored_network import LayerWeights, read_layers
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
    source, metadata = _load(path, member)
    leave = [CLASSIFIER] if metadata["classes"] != list(class_names) else []
    fresh, layers = copy_weights(source, target, leave), layers_of(target)
    place = f"{path}, {member}" if member else str(path)
    if len(fresh) == len(layers):
        raise InputError(
            f"{place}: no layer of this network fits {target.name}, because {_difference(source, metadata, layers)}; change "
            "`training.start_from`, or set it to null"
        )
    named = ", ".join(fresh[:_SHOWN]) + (f" and {len(fresh) - _SHOWN} more" if len(fresh) > _SHOWN else "")
    return f"{len(layers) - len(fresh)} of {len(layers)} layers start from {place}; fresh: {named or 'none'}"


def copy_weights(source: Mapping[str, LayerWeights], target: keras.Model, leave: Collection[str] = ()) -> list[str]:
    """Copy the weights of all layers that both networks have at the same place and with the same shapes.

    Names of layers say where in a network they are, so networks of one topology share all layers but the classifier (other classes),
    and networks of different topologies the blocks that are the same. Of convolutions of the images, the kernels of the channels
    that both have are copied (T2w comes first); those of a new channel start at zero, so that the network starts as it was. A name alone is
    not enough: the classifier of UD takes the output of deep supervision, that of U1 the decoder's; convolutions of VGG blocks have
    no batch normalisation. Layers therefore also need inputs of the same names, and normalisation after them in both networks or in
    neither.

    Args:
        source: layers of a trained network, which may have another precision: `stored_network.read_layers`, `layers_of`.
        target: whose weights are set; what does not fit keeps its initial weights.
        leave: names of layers that are not copied.

    Returns:
        Names of the target's layers that have weights and keep them, in the order of the network.
    """
    fresh = []
    for name, layer in layers_of(target).items():
        weights = _fitting_weights(source[name], layer) if name not in leave and name in source else None
        if weights is None:
            fresh.append(name)
        else:
            target.get_layer(name).set_weights(weights)
    return fresh


def layers_of(network: keras.Model) -> dict[str, LayerWeights]:
    """Return by name the layers of a network that have weights, in the order of the network."""
    found = {}
    for layer in network.layers:
        if not layer.weights:
            continue
        before = [tensor._keras_history.operation for node in layer._inbound_nodes for tensor in node.input_tensors]
        after = [node.operation for node in layer._outbound_nodes]
        found[layer.name] = LayerWeights(
            inputs=[one.name for one in before],
            takes_images=any(isinstance(one, keras.layers.InputLayer) for one in before),
            is_normalised=any(isinstance(one, keras.layers.BatchNormalization) for one in after),
            weights=layer.weights,
        )
    return found


def _fitting_weights(source: LayerWeights, target: LayerWeights) -> list[Any] | None:
    """Return the source's weights in the target's shapes and dtypes; None if the layers do not fit."""
    if (source.inputs, source.is_normalised) != (target.inputs, target.is_normalised):
        return None
    weights = [np.asarray(one, like.dtype) for one, like in zip(source.weights, target.weights, strict=False)]
    if weights and target.takes_images and weights[0].ndim == 4:
        weights[0] = _with_channels(weights[0], target.weights[0].shape[2])
    shapes = [[tuple(one.shape) for one in several] for several in (weights, target.weights)]
    return weights if shapes[0] == shapes[1] else None


def _with_channels(kernel: Any, channels: int) -> Any:
    """Return a kernel of the first channels (T2w is the first of every network), with zeros for channels that the source lacks."""
    kept = kernel[:, :, :channels]
    return np.pad(kept, ((0, 0), (0, 0), (0, channels - kept.shape[2]), (0, 0)))


def _load(path: Path, member: str | None) -> tuple[dict[str, LayerWeights], dict[str, Any]]:
    """Read the layers and the metadata of a network."""
    try:
        with temporary_folder("network") as folder:
            file = path
            if member:
                file = folder / "network.keras"
                with opened_archive(path) as archive:
                    archive.copy(member, file)
            metadata = read_metadata(file)
            return read_layers(file), {key: metadata[key] for key in ("name", "classes")}
    except InputError:
        raise
    except Exception as error:  # zipfile, HDF5 and JSON of any shape raise whatever a file leads to
        raise InputError(
            f"{path}: damaged, or not trained by this workflow ({_shown(error)}); copy the file again, or change `training.start_from`"
        ) from error


def _shown(text: object) -> str:
    return printable(" ".join(str(text).split())[:120])


def _difference(
    source: Mapping[str, LayerWeights], metadata: Mapping[str, Any], target: Mapping[str, LayerWeights]
) -> str:
    """Word why no layer of two networks fits."""
    theirs, ours = _base_filters(source), _base_filters(target)
    if theirs is not None and theirs != ours:
        return f"it was trained with `training.base_filters: {theirs}`, not {ours}"
    return f"it is made of other blocks ({_shown(metadata['name'])})"


def _base_filters(layers: Mapping[str, LayerWeights]) -> int | None:
    """Return m, the channels that the classifier takes; None for a network without classifier."""
    kernel = layers[CLASSIFIER].weights[0] if CLASSIFIER in layers and layers[CLASSIFIER].weights else None
    return int(kernel.shape[-2]) if kernel is not None and len(kernel.shape) == 4 else None
