"""The interchangeable blocks of Section 4.1 and Figure 4, written with Keras layers only.

Every tensor is (batch, rows, columns, channels). A block takes the prefix of its layers' names and a `Style`.
Convolutions pad with zeros to keep the size ("same") and have a bias. Kernels next to a rectifier are initialised from
He's normal distribution (He et al., 2015), all others from Glorot's uniform distribution (Glorot and Bengio, 2010).
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import keras

# Set on every layer, because a user's keras.json may have another default.
_DATA_FORMAT = "channels_last"
_CHANNEL_AXIS = -1

INPUT_KERNELS = (1, 3, 5, 7)
DENSE_KERNELS = (5, 3, 1)


@dataclass(frozen=True)
class Style:
    """Settings shared by all blocks of a network.

    Attributes:
        seed: seed of the initial weights.
        activation: activation of the hidden convolutions, "relu" or "prelu" (Table 4, Act-Conv).
        batch_normalisation: block types with batch normalisation, of "unet", "vgg", "dense" and "attention".
        transposed_kernel: size of the decoder's transposed kernels (Section 4.1.6).
        up_sampling: interpolation of deep supervision, "nearest" or "bilinear".
    """

    seed: int
    activation: str
    batch_normalisation: tuple[str, ...] = ("unet", "dense")
    transposed_kernel: int = 3
    up_sampling: str = "nearest"


def layer_seed(seed: int, layer_name: str) -> int:
    """Derive a layer's seed from its name, so that it does not depend on what was built before.

    Args:
        seed: seed of the network.
        layer_name: name of the layer, unique in the network.

    Returns:
        An integer in 0 … 2³¹ − 1.
    """
    digest = hashlib.sha256(f"{seed}/{layer_name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def convolution(tensor: Any, channels: int, kernel: int, *, name: str, style: Style) -> Any:
    """Apply a convolution (kernel × kernel, stride 1) with the initial weights of a layer next to a rectifier."""
    return keras.layers.Conv2D(
        channels,
        kernel,
        padding="same",
        data_format=_DATA_FORMAT,
        kernel_initializer=keras.initializers.HeNormal(layer_seed(style.seed, name)),
        name=name,
    )(tensor)


def projection(tensor: Any, channels: int, *, name: str, style: Style) -> Any:
    """Apply a 1×1 convolution without activation: a linear map of each pixel's channels."""
    return keras.layers.Conv2D(
        channels,
        1,
        data_format=_DATA_FORMAT,
        kernel_initializer=keras.initializers.GlorotUniform(layer_seed(style.seed, name)),
        name=name,
    )(tensor)


def transposed_convolution(tensor: Any, channels: int, *, name: str, style: Style, kernel: int, stride: int) -> Any:
    """Apply a transposed convolution (kernel × kernel) that multiplies rows and columns by `stride` (Section 4.1.6)."""
    return keras.layers.Conv2DTranspose(
        channels,
        kernel,
        strides=stride,
        padding="same",
        data_format=_DATA_FORMAT,
        kernel_initializer=keras.initializers.GlorotUniform(layer_seed(style.seed, name)),
        name=name,
    )(tensor)


def activation(tensor: Any, *, name: str, style: Style) -> Any:
    """Apply ReLU, or PReLU with one slope per channel (He et al., 2015), initialised to 0."""
    if style.activation == "prelu":
        return keras.layers.PReLU(shared_axes=[1, 2], name=name)(tensor)
    return keras.layers.ReLU(name=name)(tensor)


def normalisation(tensor: Any, block: str, *, name: str, style: Style) -> Any:
    """Apply batch normalisation (Ioffe and Szegedy, 2015) if the style has it for this type of block."""
    if block not in style.batch_normalisation:
        return tensor
    return keras.layers.BatchNormalization(axis=_CHANNEL_AXIS, name=name)(tensor)


def max_pool(tensor: Any, *, name: str) -> Any:
    """Halve rows and columns with the maximum of 2×2 pixels (Section 4.1.3)."""
    return keras.layers.MaxPooling2D(2, data_format=_DATA_FORMAT, name=name)(tensor)


def up_sample(tensor: Any, *, name: str, style: Style) -> Any:
    """Double rows and columns by repetition or bilinear interpolation."""
    return keras.layers.UpSampling2D(2, data_format=_DATA_FORMAT, interpolation=style.up_sampling, name=name)(tensor)


def concatenate(tensors: list[Any], *, name: str) -> Any:
    """Concatenate tensors along the channels."""
    return keras.layers.Concatenate(axis=_CHANNEL_AXIS, name=name)(tensors)


def add(tensors: list[Any], *, name: str) -> Any:
    """Add tensors element by element."""
    return keras.layers.Add(name=name)(tensors)


def unet_block(tensor: Any, channels: int, *, name: str, style: Style, kernel: int = 3) -> Any:
    """Block U: convolution, batch normalisation, activation, twice (Section 4.1.1 (i); Ronneberger et al., 2015).

    Args:
        tensor: (batch, rows, columns, any channels).
        channels: channels of both convolutions.
        name: prefix of the layers' names.
        style: style of the network.
        kernel: size of both kernels; other than 3 only in the multi-kernel input.

    Returns:
        (batch, rows, columns, channels).
    """
    for i in (1, 2):
        tensor = convolution(tensor, channels, kernel, name=f"{name}_conv_{i}", style=style)
        tensor = normalisation(tensor, "unet", name=f"{name}_normalisation_{i}", style=style)
        tensor = activation(tensor, name=f"{name}_activation_{i}", style=style)
    return tensor


def vgg_block(tensor: Any, channels: int, *, name: str, style: Style, convolutions: int) -> Any:
    """Block V: two or three 3×3 convolutions, each with an activation (4.1.1 (ii); Simonyan and Zisserman, 2015).

    Args:
        tensor: (batch, rows, columns, any channels).
        channels: channels of all convolutions.
        name: prefix of the layers' names.
        style: style of the network.
        convolutions: number of convolutions.

    Returns:
        (batch, rows, columns, channels).
    """
    for i in range(1, convolutions + 1):
        tensor = convolution(tensor, channels, 3, name=f"{name}_conv_{i}", style=style)
        tensor = normalisation(tensor, "vgg", name=f"{name}_normalisation_{i}", style=style)
        tensor = activation(tensor, name=f"{name}_activation_{i}", style=style)
    return tensor


def dense_block(tensor: Any, channels: int, *, name: str, style: Style) -> Any:
    """Block Q: three densely connected convolutions, 5×5, 3×3, 1×1 (4.1.1 (iii); Roy et al., 2019).

    Each convolution is preceded by batch normalisation and activation. Its input is the block's input concatenated with
    the outputs of all previous convolutions.

    Args:
        tensor: (batch, rows, columns, any channels).
        channels: channels of all convolutions.
        name: prefix of the layers' names.
        style: style of the network.

    Returns:
        Output of the third convolution, (batch, rows, columns, channels).
    """
    known = [tensor]
    for i, kernel in enumerate(DENSE_KERNELS, start=1):
        joined = known[0] if i == 1 else concatenate(known, name=f"{name}_concatenate_{i}")
        output = normalisation(joined, "dense", name=f"{name}_normalisation_{i}", style=style)
        output = activation(output, name=f"{name}_activation_{i}", style=style)
        output = convolution(output, channels, kernel, name=f"{name}_conv_{i}", style=style)
        known.append(output)
    return known[-1]


def multi_kernel_input(tensor: Any, channels: int, *, name: str, style: Style) -> Any:
    """Block M: four parallel U blocks with kernels of 1, 3, 5 and 7 (4.1.2; Szegedy et al., 2015).

    Args:
        tensor: (batch, rows, columns, image channels).
        channels: channels of each of the four blocks.
        name: prefix of the layers' names.
        style: style of the network.

    Returns:
        (batch, rows, columns, 4 · channels), concatenated in ascending order of the kernels.
    """
    scales = [
        unet_block(tensor, channels, name=f"{name}_kernel_{kernel}", style=style, kernel=kernel)
        for kernel in INPUT_KERNELS
    ]
    return concatenate(scales, name=f"{name}_concatenate")


def attention_gate(features: Any, gate: Any, *, name: str, style: Style) -> Any:
    """Attention gate AG: weight the encoder's features with a mask from the decoder (4.1.4 (iii); Schlemper et al., 2019).

    S = C · sigmoid(ψ(ReLU(θ(C) + φ(G)))). θ and φ are 1×1 convolutions to half of C's channels, ψ is a 1×1 convolution to
    one channel. Each of the three is followed by batch normalisation if the style has it for attention gates.

    Args:
        features: C_n of the encoder, (batch, rows, columns, channels).
        gate: G = transposed_conv(T_{n+1}) of the decoder, with the same rows and columns.
        name: prefix of the layers' names.
        style: style of the network.

    Returns:
        S_n, same shape as `features`.
    """
    between = max(1, features.shape[_CHANNEL_AXIS] // 2)

    def project(tensor: Any, channels: int, part: str) -> Any:
        projected = projection(tensor, channels, name=f"{name}_{part}", style=style)
        return normalisation(projected, "attention", name=f"{name}_{part}_normalisation", style=style)

    summed = add([project(features, between, "features"), project(gate, between, "gate")], name=f"{name}_add")
    # Always ReLU, as in the paper's text, whatever the activation of the hidden convolutions.
    rectified = keras.layers.ReLU(name=f"{name}_relu")(summed)
    energy = project(rectified, 1, "energy")
    mask = keras.layers.Activation("sigmoid", name=f"{name}_mask")(energy)
    return keras.layers.Multiply(name=f"{name}_multiply")([features, mask])
