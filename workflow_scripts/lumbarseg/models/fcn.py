"""FCN-8s on VGG16 (Long et al., 2015; Simonyan and Zisserman, 2015), the paper's second baseline."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from lumbarseg.models import blocks
from lumbarseg.models.blocks import Style

# Number of convolutions and channels (in multiples of m) of VGG16's five blocks.
VGG16 = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


def fcn_head_input(patch: Any, topology: Mapping[str, Any], *, base_filters: int, style: Style) -> Any:
    """Compose FCN-8s up to the input of its classification block.

    The score maps of Long et al. have one channel per class; here they have m channels, so that the network has the same
    head input and the same 1×1 classification block as the others (Section 4.1.7) and can be stacked.

    Args:
        patch: (batch, side, side, image channels), the side a multiple of 32.
        topology: complete entry of the family "fcn8"; `fully_connected` is the number of channels of fc6 and fc7.
        base_filters: m, channels of the first level and of the fused map.
        style: style of the network.

    Returns:
        The fused map at the patch's resolution, (batch, side, side, m).
    """
    pooled = []
    tensor = patch
    for n, (convolutions, multiple) in enumerate(VGG16, start=1):
        tensor = blocks.vgg_block(
            tensor, multiple * base_filters, name=f"encoder_{n}", style=style, convolutions=convolutions
        )
        tensor = blocks.max_pool(tensor, name=f"encoder_{n}_pool")
        pooled.append(tensor)
    for name, kernel in (("fc6", 7), ("fc7", 1)):
        tensor = blocks.convolution(tensor, topology["fully_connected"], kernel, name=name, style=style)
        tensor = blocks.activation(tensor, name=f"{name}_activation", style=style)

    fused = blocks.projection(tensor, base_filters, name="fuse_5_conv", style=style)
    for n in (4, 3):
        raised = blocks.transposed_convolution(
            fused, base_filters, name=f"fuse_{n}_transposed_conv", style=style, kernel=4, stride=2
        )
        own = blocks.projection(pooled[n - 1], base_filters, name=f"fuse_{n}_conv", style=style)
        fused = blocks.add([own, raised], name=f"fuse_{n}_add")
    return blocks.transposed_convolution(
        fused, base_filters, name="fuse_1_transposed_conv", style=style, kernel=16, stride=8
    )


def start_from_interpolation(network: keras.Model) -> None:
    """Initialise the transposed convolutions of FCN-8s with bilinear interpolation; all three are trained.

    Long et al. (2015) do the same, but keep the last one fixed; they interpolate class scores, here there are m channels.

    Args:
        network: network built from `fcn_head_input`; its weights are changed.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            layer.kernel.assign(bilinear_kernel(layer.kernel.shape[0], layer.kernel.shape[-1]))


def bilinear_kernel(side: int, channels: int) -> np.ndarray:
    """Return the kernel whose transposed convolution with stride side / 2 interpolates each channel separately.

    Args:
        side: size of the kernel, even.
        channels: number of input and output channels.

    Returns:
        (side, side, channels, channels), float32.
    """
    stride = side // 2
    line = 1 - np.abs(np.arange(side) - (side - 1) / 2) / stride
    kernel = np.zeros((side, side, channels, channels), np.float32)
    each = np.arange(channels)
    kernel[:, :, each, each] = np.outer(line, line)[:, :, np.newaxis]
    return kernel
