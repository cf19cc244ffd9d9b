"""The blocks of Section 4.1: each follows its equation, and each reading of it that is a key can be changed."""

import itertools

import keras
import numpy as np
import pytest
import scipy.ndimage

from factories.networks import (
    CHANNELS,
    apply_1x1,
    array,
    double,
    halve,
    narrow,
    patches_and_labels,
    shared,
    tensors_of,
)
from lumbarseg.models.build import count_parameters, with_head_input
from lumbarseg.models.fcn import bilinear_kernel

# TensorFlow's variables and NumPy 2, within Keras
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


# ---- the equations of Section 4.1 ----------------------------------------------------------------------------------
def letters(name):
    """C_n, T_n, D_n and the transposed convolution of T_{n+1} (here R_n) of a network, by level, and its head input."""
    network, (patches, _) = shared(name), patches_and_labels(side=32)
    layers = {("C", 5): "bottleneck_activation_2"}
    for n in (1, 2, 3, 4):
        layers["C", n] = f"encoder_{n}_activation_2"
        layers["R", n] = f"decoder_{n}_transposed_conv"
        layers["D", n] = f"decoder_{n}_concatenate"
        layers["T", n] = f"decoder_{n}_activation_2"
    tensors = tensors_of(network, patches, *layers.values())
    found = {letter: tensors[layer] for letter, layer in layers.items()}
    return network, found, array(with_head_input(network)(patches)[0])


def test_unet_skip_connections_concatenate_encoder_and_decoder():
    _, tensor, _ = letters("U1")
    for n in (1, 2, 3, 4):
        c, raised = tensor["C", n], tensor["R", n]
        assert c.shape == raised.shape == (2, 32 >> (n - 1), 32 >> (n - 1), 4 << (n - 1))
        np.testing.assert_array_equal(tensor["D", n], np.concatenate([c, raised], axis=-1))


@pytest.mark.parametrize("name", ["U1", "UDD", "UDD2", "UAD"])
def test_unet_decoder_starts_from_the_bottleneck(name):
    network = shared(name)
    raised_from = network.get_layer("decoder_4_transposed_conv").input
    assert raised_from is network.get_layer("bottleneck_activation_2").output


def test_attention_gate_follows_its_equation():
    network, tensor, _ = letters("UAD")
    for n in (1, 2, 3, 4):
        c, gate = tensor["C", n], tensor["R", n]
        hidden = apply_1x1(network, f"attention_{n}_features", c) + apply_1x1(network, f"attention_{n}_gate", gate)
        assert hidden.shape[-1] == c.shape[-1] // 2
        mask = 1 / (1 + np.exp(-apply_1x1(network, f"attention_{n}_energy", np.maximum(hidden, 0))))
        assert mask.shape[-1] == 1
        np.testing.assert_allclose(tensor["D", n], np.concatenate([c * mask, gate], axis=-1), atol=1e-5)


def test_skip_ds1_adds_the_signal_from_below():
    network, tensor, _ = letters("UDD")
    s = apply_1x1(network, "skip_supervision_5_conv", tensor["C", 5])
    for n in (4, 3, 2, 1):
        s = apply_1x1(network, f"skip_supervision_{n}_conv", tensor["C", n]) + double(s)
        assert s.shape[-1] == 4
        np.testing.assert_allclose(tensor["D", n], np.concatenate([s, tensor["R", n]], axis=-1), atol=1e-5)


def test_skip_ds2_adds_the_signal_from_above():
    network, tensor, _ = letters("UDD2")
    s = apply_1x1(network, "skip_supervision_1_conv", tensor["C", 1])
    for n in (1, 2, 3, 4):
        if n > 1:
            s = apply_1x1(network, f"skip_supervision_{n}_conv", tensor["C", n]) + halve(s)
        assert s.shape[-1] == 4
        np.testing.assert_allclose(tensor["D", n], np.concatenate([s, tensor["R", n]], axis=-1), atol=1e-5)


def test_output_ds3_sums_the_levels_of_the_decoder():
    network, tensor, head = letters("UD")
    z = apply_1x1(network, "output_supervision_4_conv", tensor["T", 4])
    for n in (3, 2, 1):
        z = apply_1x1(network, f"output_supervision_{n}_conv", tensor["T", n]) + double(z)
    np.testing.assert_allclose(head, z, atol=1e-5)


def test_dense_block_concatenates_all_previous_outputs():
    network, (patches, _) = shared("UQD"), patches_and_labels(side=32)
    block = tensors_of(
        network,
        patches,
        "encoder_1_pool",
        *(f"encoder_2_{part}" for part in ("conv_1", "conv_2", "concatenate_2", "concatenate_3", "activation_1")),
    )
    x, y1, y2 = block["encoder_1_pool"], block["encoder_2_conv_1"], block["encoder_2_conv_2"]
    np.testing.assert_array_equal(block["encoder_2_concatenate_2"], np.concatenate([x, y1], axis=-1))
    np.testing.assert_array_equal(block["encoder_2_concatenate_3"], np.concatenate([x, y1, y2], axis=-1))
    # an untrained normalisation, then ReLU, come before the first convolution
    np.testing.assert_allclose(block["encoder_2_activation_1"], np.maximum(x / np.sqrt(1 + 1e-3), 0), atol=1e-5)
    kernels = [network.get_layer(f"encoder_2_conv_{i}").kernel.shape for i in (1, 2, 3)]
    assert [tuple(kernel) for kernel in kernels] == [(5, 5, 4, 4), (3, 3, 8, 4), (1, 1, 12, 4)]


def test_multi_kernel_input_has_four_kernel_sizes():
    network, (patches, _) = shared("UMD"), patches_and_labels(side=32)
    parts = [f"input_kernel_{kernel}_activation_2" for kernel in (1, 3, 5, 7)]
    tensors = tensors_of(network, patches, *parts, "input_concatenate")
    np.testing.assert_array_equal(tensors["input_concatenate"], np.concatenate([tensors[p] for p in parts], axis=-1))
    assert network.get_layer("encoder_1_conv_1").input is network.get_layer("input_concatenate").output
    for kernel in (1, 3, 5, 7):
        for i, channels in ((1, CHANNELS), (2, 4)):
            layer = network.get_layer(f"input_kernel_{kernel}_conv_{i}")
            assert tuple(layer.kernel.shape) == (kernel, kernel, channels, 4)


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        (
            "U1",
            ["encoder_1_pool"]
            + [f"encoder_2_{part}_{i}" for i in (1, 2) for part in ("conv", "normalisation", "activation")]
            + ["encoder_2_pool"],
        ),
        (
            "UVMD",
            ["encoder_2_pool"]
            + [f"encoder_3_{part}_{i}" for i in (1, 2, 3) for part in ("conv", "activation")]
            + ["encoder_3_pool"],
        ),
        ("UQD", [f"encoder_2_{part}_2" for part in ("concatenate", "normalisation", "activation", "conv")]),
        ("FCN", ["encoder_5_pool", "fc6", "fc6_activation", "fc7", "fc7_activation", "fuse_5_conv"]),
        ("FCN", ["fuse_5_conv", "fuse_4_transposed_conv"]),
        ("FCN", ["fuse_4_add", "fuse_3_transposed_conv"]),
        ("FCN", ["fuse_3_add", "fuse_1_transposed_conv", "classifier", "scores"]),
        ("FCN", ["encoder_4_pool", "fuse_4_conv"]),
        ("FCN", ["encoder_3_pool", "fuse_3_conv"]),
    ],
)
def test_build_network_connects_layers_in_the_papers_order(name, chain):
    network = shared(name)
    for before, after in itertools.pairwise(chain):
        assert network.get_layer(after).input is network.get_layer(before).output


def test_fcn_fuses_three_resolutions():
    network, (patches, _) = shared("FCN"), patches_and_labels(side=32)
    for n in (4, 3):
        parts = tensors_of(network, patches, f"fuse_{n}_conv", f"fuse_{n}_transposed_conv", f"fuse_{n}_add")
        own, raised, fused = parts.values()
        assert own.shape == (2, 32 >> n, 32 >> n, 4)
        np.testing.assert_array_equal(fused, own + raised)
    assert tuple(network.get_layer("fc6").kernel.shape) == (7, 7, 8 * 4, 32)


def test_vgg_encoder_has_two_or_three_convolutions_and_no_normalisation():
    network = shared("UVDD")
    names = [layer.name for layer in network.layers]
    counts = [sum(name.startswith(f"encoder_{n}_conv_") for name in names) for n in (1, 2, 3, 4)]
    assert [*counts, sum(name.startswith("bottleneck_conv_") for name in names)] == [2, 2, 3, 3, 3]
    assert not [name for name in names if "normalisation" in name and not name.startswith("decoder")]


def test_prelu_has_one_slope_per_channel_in_every_convolutional_block():
    network = shared("UVDD")
    hidden = [layer for layer in network.layers if "_activation" in layer.name]
    assert len(hidden) == 13 + 8
    for layer in hidden:
        assert tuple(layer.alpha.shape) == (1, 1, layer.output.shape[-1])
    assert not [layer for layer in network.layers if isinstance(layer, keras.layers.ReLU)]


@pytest.mark.parametrize("side", [4, 16])
def test_fcn_is_initialised_with_bilinear_interpolation(side):
    stride = side // 2
    network = shared("FCN")
    name = {4: "fuse_3_transposed_conv", 16: "fuse_1_transposed_conv"}[side]
    kernel = array(network.get_layer(name).kernel)
    np.testing.assert_array_equal(kernel, bilinear_kernel(side, 4))

    small = np.random.default_rng(3).normal(size=(6, 6))
    raised = np.zeros((6 * stride + stride, 6 * stride + stride))
    for i, j in itertools.product(range(6), repeat=2):  # a transposed convolution, written out
        raised[i * stride : i * stride + side, j * stride : j * stride + side] += small[i, j] * kernel[:, :, 1, 1]
    raised = raised[stride // 2 : -(stride // 2), stride // 2 : -(stride // 2)]
    at = (np.arange(6 * stride) + 0.5) / stride - 0.5  # where the pixels' centres lie in the small image
    expected = scipy.ndimage.map_coordinates(small, np.meshgrid(at, at, indexing="ij"), order=1)
    inside = slice(stride, -stride)
    np.testing.assert_allclose(raised[inside, inside], expected[inside, inside], atol=1e-6)


# ---- readings that are keys ------------------------------------------------------------------------------------------
def normalised(network, block):
    return [layer.name for layer in network.layers if "normalisation" in layer.name and block in layer.name]


def test_batch_normalisation_is_applied_to_the_listed_blocks_only():
    everywhere = {"batch_normalisation": ["attention", "dense", "unet", "vgg"], "skip": "attention"}
    network = narrow("U1", side=32, encoder="vgg", decoder="dense", **everywhere)
    assert len(normalised(network, "encoder")) == 2 + 2 + 3 + 3
    assert len(normalised(network, "decoder")) == 4 * 3
    assert len(normalised(network, "attention")) == 4 * 3
    # between convolution and activation
    assert network.get_layer("encoder_1_activation_1").input is network.get_layer("encoder_1_normalisation_1").output
    assert (
        network.get_layer("attention_2_add").input[0] is network.get_layer("attention_2_features_normalisation").output
    )
    without = narrow("UAMD", side=32, batch_normalisation=[])
    assert normalised(without, "") == []
    assert without.get_layer("encoder_1_activation_1").input is without.get_layer("encoder_1_conv_1").output


def test_transposed_kernel_changes_the_weights_but_not_the_shapes():
    three, two = narrow("U1", side=32), narrow("U1", side=32, transposed_kernel=2)
    assert [layer.output.shape for layer in three.layers] == [layer.output.shape for layer in two.layers]
    width = 4
    levels = [(width * 2**n, width * 2 ** (n - 1)) for n in (4, 3, 2, 1)]
    assert count_parameters(three) - count_parameters(two) == sum((9 - 4) * below * own for below, own in levels)


def test_up_sampling_can_be_bilinear():
    network, (patches, _) = narrow("UD", side=32, up_sampling="bilinear"), patches_and_labels(side=32)
    name = "output_supervision_3_up_sample"
    tensors = tensors_of(network, patches, "output_supervision_4_conv", name)
    # centres of pixels stay where they are, edges are repeated: what SciPy calls nearest on a grid
    expected = scipy.ndimage.zoom(
        tensors["output_supervision_4_conv"], (1, 2, 2, 1), order=1, mode="nearest", grid_mode=True
    )
    np.testing.assert_allclose(tensors[name], expected, atol=1e-5)
