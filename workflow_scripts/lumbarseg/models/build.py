"""Keras models and optimisers from entries of the configuration, and the number of parameters and operations of a model."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from lumbarseg.config.topology import SIDE_MULTIPLES, complete_topology
from lumbarseg.errors import InputError
from lumbarseg.models import blocks
from lumbarseg.models.blocks import Style
from lumbarseg.models.fcn import fcn_head_input, start_from_interpolation
from lumbarseg.models.unet import unet_head_input

CLASSIFIER = "classifier"
SCORES = "scores"


def build_network(
    topology: Mapping[str, Any], *, side: int, channels: int, classes: int, base_filters: int, seed: int, name: str
) -> keras.Model:
    """Build an untrained network (Section 4.1, Table 4).

    The initial weights depend only on `seed` and the layers' names, not on what the process did before.

    Args:
        topology: entry of the configuration's `topologies`; missing keys take their defaults.
        side: rows and columns of a patch, in pixels; a multiple of 16 (family unet) or 32 (fcn8).
        channels: channels of the image, 2 for T2w and T1w.
        classes: number of classes, background included.
        base_filters: m, channels of the first level, 64 in the paper.
        seed: seed of the initial weights.
        name: name of the topology and of the model.

    Returns:
        A model from patches, (batch, side, side, channels) float32, to scores, (batch, side, side, classes) float32 in
        0 … 1 that sum to 1 in each pixel. The scores are computed in float32 under any precision policy.

    Raises:
        InputError: the entry has an unknown key or value, or the side does not suit the family.
    """
    topology = complete_topology(name, topology)
    multiple = SIDE_MULTIPLES[topology["family"]]
    if side < 1 or side % multiple:
        raise InputError(
            f"Configuration, `patches.patch_size`: the topology {name} needs a multiple of {multiple}, found {side}; "
            f"set {max(multiple, side - side % multiple)}."
        )
    for key, value in (("channels", channels), ("classes", classes), ("base_filters", base_filters)):
        if value < 1:
            raise InputError(
                f"Configuration: {key} of the network {name} must be at least 1, found {value}; increase it."
            )

    style = Style(
        seed=seed,
        activation=topology["activation"],
        batch_normalisation=tuple(topology["batch_normalisation"]),
        transposed_kernel=topology["transposed_kernel"],
        up_sampling=topology["up_sampling"],
    )
    compose = fcn_head_input if topology["family"] == "fcn8" else unet_head_input
    patch = keras.Input((side, side, channels), dtype="float32", name="patch")
    head = compose(patch, topology, base_filters=base_filters, style=style)
    logits = blocks.projection(head, classes, name=CLASSIFIER, style=style)
    scores = keras.layers.Activation("softmax", dtype="float32", name=SCORES)(logits)
    network = keras.Model(patch, scores, name=name)
    if topology["family"] == "fcn8":
        start_from_interpolation(network)
    return network


def optimiser(topology: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Create the optimiser of a topology (Table 4), with Keras' defaults for everything but the learning rate.

    Args:
        topology: entry of the configuration's `topologies`; missing keys take their defaults.

    Returns:
        A new optimiser.

    Raises:
        InputError: the installed Keras has no such optimiser.
    """
    complete = complete_topology("the topology", topology)
    settings = {"class_name": complete["optimiser"], "config": {"learning_rate": float(complete["learning_rate"])}}
    try:
        return keras.optimizers.get(settings)
    except ValueError as error:
        raise InputError(
            f"Configuration, `topologies`: Keras {keras.__version__} has no optimiser {complete['optimiser']!r}; "
            "use another one, such as adam."
        ) from error


def head_input(network: keras.Model) -> Any:
    """Return the input of the classification block, which stacking models use (Section 5.4).

    Args:
        network: a network of `build_network`, or a loaded one.

    Returns:
        Symbolic tensor of the network, (batch, side, side, m): the paper's 64-channel tensor.
    """
    return network.get_layer(CLASSIFIER).input


def with_head_input(network: keras.Model) -> keras.Model:
    """Return a model with two outputs, head input and scores, which shares the weights of `network`.

    Args:
        network: a network of `build_network`, or a loaded one.

    Returns:
        A model from patches to [head input (batch, side, side, m), scores (batch, side, side, classes)].
    """
    return keras.Model(network.input, [head_input(network), network.output], name=f"{network.name}_with_head_input")


def count_parameters(network: keras.Model) -> int:
    """Count the trainable parameters (the moving averages of batch normalisation are not trainable)."""
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)


def fewest_parameters(topology: Mapping[str, Any], base_filters: int) -> int:
    """Return a lower bound of a network's parameters, from its settings alone: at least a fortieth of their number.

    A file with fewer weights is not this network, which therefore need not be built to find out.

    Args:
        topology: entry of the configuration's `topologies`; missing keys take their defaults.
        base_filters: m, channels of the first level.
    """
    complete = complete_topology("the topology", topology)
    if complete["family"] == "fcn8":
        channels: int = complete["fully_connected"]
        return 3500 * base_filters**2 + 392 * base_filters * channels + channels**2
    return int((500 + 4 * complete["transposed_kernel"] ** 2) * base_filters**2)


def multiply_accumulates(network: keras.Model) -> int:
    """Count the multiply–accumulates of the convolutions in one forward pass of one patch.

    A convolution costs its kernel's elements at each output pixel, a transposed convolution at each input pixel; padding
    and cropped borders are counted, as is usual. Biases, normalisations, activations, sums and pooling are left out.

    Args:
        network: a network of `build_network`, or a loaded one.

    Returns:
        Number of multiply–accumulates; the number of floating-point operations is twice as high.
    """
    return sum(map(layer_multiply_accumulates, network.layers))


def layer_multiply_accumulates(layer: keras.Layer) -> int:
    """Count the multiply–accumulates of one layer; 0 if it is not a convolution."""
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
        return 0
    pixels = (layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output).shape[1:3]
    return math.prod(pixels) * math.prod(layer.kernel.shape)
