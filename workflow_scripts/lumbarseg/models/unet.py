"""The U-Net and its twelve variants, composed from blocks (Section 4.1, Figures 4 and 5).

The letters are the paper's: C_n is the output of the encoder's block at level n (C_5: the bottleneck), S_n the tensor of
the skip connection, D_n and T_n the input and output of the decoder's block, Z_n the supervised signal of DS.v3.
"""

from collections.abc import Mapping
from typing import Any

from lumbarseg.models import blocks
from lumbarseg.models.blocks import Style

LEVELS = (1, 2, 3, 4)
BOTTLENECK = 5
VGG_CONVOLUTIONS: Mapping[int, int] = {1: 2, 2: 2, 3: 3, 4: 3, BOTTLENECK: 3}


def unet_head_input(patch: Any, topology: Mapping[str, Any], *, base_filters: int, style: Style) -> Any:
    """Compose a U-Net variant up to the input of its classification block.

    Args:
        patch: (batch, side, side, image channels), the side a multiple of 16.
        topology: complete entry of the family "unet".
        base_filters: m, channels of the first level; level n has m · 2^(n−1), dense blocks have m at all levels.
        style: style of the network.

    Returns:
        (batch, side, side, m): T_1, or Z_1 with DS.v3 (Section 4.1.7).
    """
    tensor = patch
    if topology["input"] == "multi_kernel":
        tensor = blocks.multi_kernel_input(tensor, base_filters, name="input", style=style)

    encoded = {}  # C_1 … C_5
    for n in LEVELS:
        encoded[n] = _block(topology["encoder"], tensor, n, base_filters, name=f"encoder_{n}", style=style)
        tensor = blocks.max_pool(encoded[n], name=f"encoder_{n}_pool")
    encoded[BOTTLENECK] = _block(topology["encoder"], tensor, BOTTLENECK, base_filters, name="bottleneck", style=style)

    skips = _skips(topology["skip"], encoded, base_filters, style)  # S_1 … S_4
    decoded = {BOTTLENECK: encoded[BOTTLENECK]}  # T_5 = C_5
    for n in reversed(LEVELS):
        raised = blocks.transposed_convolution(
            decoded[n + 1],
            level_channels(topology["decoder"], n, base_filters),
            name=f"decoder_{n}_transposed_conv",
            style=style,
            kernel=style.transposed_kernel,
            stride=2,
        )
        skip = skips[n]
        if topology["skip"] == "attention":
            skip = blocks.attention_gate(skip, raised, name=f"attention_{n}", style=style)
        joined = blocks.concatenate([skip, raised], name=f"decoder_{n}_concatenate")  # D_n
        decoded[n] = _block(topology["decoder"], joined, n, base_filters, name=f"decoder_{n}", style=style)

    if topology["output"] == "ds3":
        return _output_supervision(decoded, base_filters, style)
    return decoded[1]


def level_channels(kind: str, level: int, base_filters: int) -> int:
    """Return the channels of a block at a level: m · 2^(level−1), but m at all levels for dense blocks (4.1.1)."""
    return base_filters if kind == "dense" else base_filters * 2 ** (level - 1)


def _block(kind: str, tensor: Any, level: int, base_filters: int, *, name: str, style: Style) -> Any:
    channels = level_channels(kind, level, base_filters)
    if kind == "vgg":
        return blocks.vgg_block(tensor, channels, name=name, style=style, convolutions=VGG_CONVOLUTIONS[level])
    if kind == "dense":
        return blocks.dense_block(tensor, channels, name=name, style=style)
    return blocks.unet_block(tensor, channels, name=name, style=style)


def _skips(kind: str, encoded: dict[int, Any], base_filters: int, style: Style) -> dict[int, Any]:
    """Return S_n by level; for attention C_n, because the gate also needs the decoder's signal and is applied later."""
    if kind == "ds1":
        return _skip_supervision_upwards(encoded, base_filters, style)
    if kind == "ds2":
        return _skip_supervision_downwards(encoded, base_filters, style)
    return encoded


def _skip_supervision_upwards(encoded: dict[int, Any], base_filters: int, style: Style) -> dict[int, Any]:
    """DS.v1: S_5 = conv1×1(C_5), S_n = conv1×1(C_n) + up_sampling(S_{n+1}), all of m channels."""
    name = "skip_supervision"
    supervised = {BOTTLENECK: blocks.projection(encoded[BOTTLENECK], base_filters, name=f"{name}_5_conv", style=style)}
    for n in reversed(LEVELS):
        own = blocks.projection(encoded[n], base_filters, name=f"{name}_{n}_conv", style=style)
        below = blocks.up_sample(supervised[n + 1], name=f"{name}_{n}_up_sample", style=style)
        supervised[n] = blocks.add([own, below], name=f"{name}_{n}_add")
    return supervised


def _skip_supervision_downwards(encoded: dict[int, Any], base_filters: int, style: Style) -> dict[int, Any]:
    """DS.v2: S_1 = conv1×1(C_1), S_n = conv1×1(C_n) + max_pool(S_{n−1}), all of m channels."""
    name = "skip_supervision"
    supervised = {1: blocks.projection(encoded[1], base_filters, name=f"{name}_1_conv", style=style)}
    for n in LEVELS[1:]:
        own = blocks.projection(encoded[n], base_filters, name=f"{name}_{n}_conv", style=style)
        above = blocks.max_pool(supervised[n - 1], name=f"{name}_{n}_pool")
        supervised[n] = blocks.add([own, above], name=f"{name}_{n}_add")
    return supervised


def _output_supervision(decoded: dict[int, Any], base_filters: int, style: Style) -> Any:
    """DS.v3: Z_4 = conv1×1(T_4), Z_n = conv1×1(T_n) + up_sampling(Z_{n+1}), all of m channels; returns Z_1."""
    name = "output_supervision"
    signal = blocks.projection(decoded[4], base_filters, name=f"{name}_4_conv", style=style)
    for n in (3, 2, 1):
        own = blocks.projection(decoded[n], base_filters, name=f"{name}_{n}_conv", style=style)
        below = blocks.up_sample(signal, name=f"{name}_{n}_up_sample", style=style)
        signal = blocks.add([own, below], name=f"{name}_{n}_add")
    return signal
