"""The blocks of a built network and the connections between them, derived from its layers; drawn in Figures 4 and 5."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import pandas as pd

from lumbarseg.models.build import (
    build_network,
    count_parameters,
    layer_multiply_accumulates,
    multiply_accumulates,
)

logger = logging.getLogger("lumbarseg")

_BLOCKS = (
    ("patch", r"patch"),
    ("multi_kernel", r"input_kernel_\d+"),
    ("join", r"input_concatenate|decoder_\d+_concatenate(?!_)"),
    ("pool", r"encoder_\d+_pool"),
    ("raise", r"decoder_\d+_transposed_conv"),
    ("attention", r"attention_\d+"),
    ("skip_supervision", r"skip_supervision_\d+"),
    ("output_supervision", r"output_supervision_\d+"),
    ("encoder", r"encoder_\d+|fc\d+"),
    ("bottleneck", r"bottleneck"),
    ("decoder", r"decoder_\d+|fuse_\d+"),
    ("classifier", r"classifier|scores"),
)
"""Kinds of blocks, with a pattern of their layers' names; the first match counts."""


def block_of(layer_name: str) -> tuple[str, str]:
    """Return the block that a layer belongs to.

    Args:
        layer_name: name of a layer of a network of `build_network`.

    Returns:
        Name and kind of the block: `encoder_1_conv_2` belongs to `encoder_1` of kind `encoder`, `encoder_1_pool` is a
        block of kind `pool`.

    Raises:
        ValueError: the name matches no kind of block.
    """
    for kind, pattern in _BLOCKS:
        found = re.match(rf"({pattern})(_|$)", layer_name)
        if found:
            return ("classifier" if kind == "classifier" else found[1]), kind
    raise ValueError(f"the layer {layer_name} belongs to no block")


def block_graph(network: keras.Model) -> pd.DataFrame:
    """Group a network's layers into blocks (Section 4.1).

    Args:
        network: a network of `build_network`, or a loaded one.

    Returns:
        One row per block, in the order of computation: block, kind (patch, multi_kernel, join, pool, raise, attention,
        skip_supervision, output_supervision, encoder, bottleneck, decoder, classifier), operation (of its layers,
        separated by "; "), rows, columns and channels of its output, parameters (trainable), multiply_accumulates (of one
        patch), sources (the blocks that feed it, separated by spaces).

    Raises:
        ValueError: a layer belongs to no block.
    """
    layers: dict[str, list[Any]] = {}
    kinds: dict[str, str] = {}
    for layer in network.layers:
        name, kind = block_of(layer.name)
        layers.setdefault(name, []).append(layer)
        kinds[name] = kind
    rows = []
    for name, own in layers.items():
        before = [block_of(source.name)[0] for layer in own for source in _sources(layer)]
        _, height, width, channels = own[-1].output.shape
        rows.append(
            {
                "block": name,
                "kind": kinds[name],
                "operation": _operation(own),
                "rows": height,
                "columns": width,
                "channels": channels,
                "parameters": sum(math.prod(weight.shape) for one in own for weight in one.trainable_weights),
                "multiply_accumulates": sum(map(layer_multiply_accumulates, own)),
                "sources": " ".join(dict.fromkeys(source for source in before if source != name)),
            }
        )
    return pd.DataFrame(rows)


def describe_networks(
    topologies: Mapping[str, Mapping[str, Any]], *, side: int, channels: int, classes: int, base_filters: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build each topology and count its parameters and operations: the tables `metrics/networks.csv` and `metrics/network_blocks.csv`.

    Args:
        topologies: entries of the configuration's `topologies`, by name.
        side: rows and columns of a patch, in pixels.
        channels: channels of the image.
        classes: number of classes, background included.
        base_filters: m, channels of the first level.

    Returns:
        A row for each topology: topology, trainable_parameters, multiply_accumulates (of one patch); and a row for each
        block of each topology: topology and the columns of `block_graph`.
    """
    rows, blocks = [], []
    for name, topology in topologies.items():
        network = build_network(
            topology, side=side, channels=channels, classes=classes, base_filters=base_filters, seed=0, name=name
        )
        rows.append((name, count_parameters(network), multiply_accumulates(network)))
        graph = block_graph(network)
        graph.insert(0, "topology", name)
        blocks.append(graph)
        logger.info("%s: %d trainable parameters, %d multiply-accumulates per patch", *rows[-1])
        keras.backend.clear_session()
    columns = ["topology", "trainable_parameters", "multiply_accumulates"]
    return pd.DataFrame(rows, columns=columns), pd.concat(blocks, ignore_index=True)


def _sources(layer: keras.Layer) -> list[keras.Layer]:
    """Return the layers whose outputs are inputs of a layer."""
    return [tensor._keras_history.operation for node in layer._inbound_nodes for tensor in node.input_tensors]


def _operation(layers: Sequence[keras.Layer]) -> str:
    """Describe layers: the convolutions first, then each other operation once, in order."""
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    raised = [layer for layer in layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    convolutions = [layer for layer in convolutions if layer not in raised]
    sides = [f"{layer.kernel_size[0]}×{layer.kernel_size[1]}" for layer in convolutions]
    parts = []
    if len(set(sides)) == 1:
        parts.append(f"{len(sides)} × conv {sides[0]}" if len(sides) > 1 else f"conv {sides[0]}")
    elif sides:
        parts.append(f"conv {', '.join(sides)}")
    parts += [f"transposed conv {layer.kernel_size[0]}×{layer.kernel_size[1]}" for layer in raised]
    for layer in layers:
        name = {
            keras.layers.BatchNormalization: "batch normalisation",
            keras.layers.ReLU: "ReLU",
            keras.layers.PReLU: "PReLU",
            keras.layers.MaxPooling2D: "max pool 2×2",
            keras.layers.UpSampling2D: "up-sampling ×2",
            keras.layers.Concatenate: "concatenate",
            keras.layers.Add: "add",
            keras.layers.Multiply: "multiply",
        }.get(type(layer), layer.activation.__name__ if isinstance(layer, keras.layers.Activation) else "")
        if name and name not in parts:
            parts.append(name)
    return "; ".join(parts)
