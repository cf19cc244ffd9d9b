"""The thirteen topologies: their parameters, their equations, their weights, and what a wrong entry says."""

import ast
import functools
import itertools
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
import yaml

from lumbarseg.errors import InputError
from lumbarseg.networks import blocks
from lumbarseg.networks.build import (
    build_network,
    count_parameters,
    head_input,
    multiply_accumulates,
    optimiser,
    with_head_input,
)
from lumbarseg.networks.fcn import bilinear_kernel
from lumbarseg.networks.topology import TOPOLOGY_CHOICES, TOPOLOGY_DEFAULTS, complete_topology

# TensorFlow's variables and NumPy 2, within Keras
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

REPOSITORY = Path(__file__).parents[2]
TOPOLOGIES = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))["topologies"]
CHANNELS, CLASSES = 2, 12

# Two channels in, twelve classes, m = 64; each was found by a second implementation.
PARAMETERS = {
    "FCN": 135_752_076,
    "U1": 34_525_260,
    "UA": 34_874_864,
    "UD": 34_586_956,
    "UAD": 34_936_560,
    "UMD": 35_089_612,
    "UAMD": 35_439_216,
    "UVMD": 47_469_772,
    "UVDD": 44_521_612,
    "UQD": 2_305_240,
    "UDD": 32_133_772,
    "UMDD": 32_636_428,
    "UDD2": 32_068_172,
}


def narrow(name, *, side=64, width=4, seed=1, **changes):
    entry = TOPOLOGIES[name] | changes
    if entry.get("family") == "fcn8":
        entry = {"fully_connected": 32} | entry
    return build_network(entry, side=side, channels=CHANNELS, classes=CLASSES, width=width, seed=seed, name=name)


@functools.cache
def shared(name):
    """A small network that several tests look at and none changes."""
    return narrow(name, side=32)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def patches_and_labels(side=64, samples=2, seed=0):
    generator = np.random.default_rng(seed)
    patches = generator.normal(size=(samples, side, side, CHANNELS)).astype(np.float32)
    # blobs, so that there is something to learn
    smooth = scipy.ndimage.gaussian_filter(patches[..., 0], (0, 4, 4))
    labels = np.digitize(smooth, np.quantile(smooth, np.linspace(0, 1, CLASSES + 1)[1:-1]))
    return patches, labels


def tensors_of(network, patches, *names):
    model = keras.Model(network.input, {name: network.get_layer(name).output for name in names})
    return {name: array(tensor) for name, tensor in model(patches).items()}


def apply_1x1(network, name, tensor):
    kernel, bias = (array(weight) for weight in network.get_layer(name).weights)
    assert kernel.shape[:2] == (1, 1)
    return tensor @ kernel[0, 0] + bias


def double(tensor):
    return tensor.repeat(2, axis=1).repeat(2, axis=2)


def halve(tensor):
    n, rows, columns, channels = tensor.shape
    return tensor.reshape(n, rows // 2, 2, columns // 2, 2, channels).max(axis=(2, 4))


@pytest.fixture(scope="module")
def full_width():
    """Trainable parameters and multiply–accumulates at the paper's width, from networks whose weights are all 0."""
    costs = {}
    with pytest.MonkeyPatch.context() as patch:
        for initialiser in ("HeNormal", "GlorotUniform"):
            patch.setattr(keras.initializers, initialiser, lambda seed: keras.initializers.Zeros())
        for name, entry in TOPOLOGIES.items():
            network = build_network(entry, side=256, channels=CHANNELS, classes=CLASSES, width=64, seed=1, name=name)
            assert head_input(network).shape == (None, 256, 256, 64)
            costs[name] = count_parameters(network), multiply_accumulates(network)
    return costs


# ---- cost ----------------------------------------------------------------------------------------------------------
def test_the_configuration_defines_the_thirteen_topologies():
    assert set(TOPOLOGIES) == set(PARAMETERS)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_trainable_parameters_at_full_width_are_the_readings(full_width, name):
    assert full_width[name][0] == PARAMETERS[name]


def test_multiply_accumulates_of_the_standard_unet_are_those_counted_by_hand(full_width):
    m, total = 64, 0
    for level in (1, 2, 3, 4, 5):  # encoder and bottleneck: two 3×3 convolutions
        pixels, width = (256 // 2 ** (level - 1)) ** 2, m * 2 ** (level - 1)
        total += pixels * 9 * ((CHANNELS if level == 1 else width // 2) * width + width * width)
    for level in (4, 3, 2, 1):  # decoder: a transposed convolution at the lower level's pixels, then two 3×3
        pixels, width = (256 // 2 ** (level - 1)) ** 2, m * 2 ** (level - 1)
        total += pixels // 4 * 9 * 2 * width * width
        total += pixels * 9 * (2 * width * width + width * width)
    total += 256 * 256 * m * CLASSES
    assert full_width["U1"][1] == total == 50_860_130_304


@pytest.mark.parametrize("name", ["U1", "UAMD", "FCN"])
def test_multiply_accumulates_are_those_of_a_loop_that_counts_one_by_one(name):
    network = narrow(name, side=32, width=1, **({"fully_connected": 3} if name == "FCN" else {}))
    total = 0
    for layer in network.layers:
        settings = layer.get_config()
        if "filters" not in settings:
            continue
        transposed = "Transpose" in type(layer).__name__
        _, rows, columns, _ = (layer.input if transposed else layer.output).shape
        kernel_rows, kernel_columns = settings["kernel_size"]
        sizes = (rows, columns, kernel_rows, kernel_columns, layer.input.shape[-1], settings["filters"])
        total += sum(1 for _ in itertools.product(*map(range, sizes)))
    assert multiply_accumulates(network) == total


def test_moving_averages_are_not_counted_as_parameters():
    network = narrow("U1")
    everything = sum(array(weight).size for weight in network.weights)
    normalised = sum(layer.gamma.shape[0] for layer in network.layers if hasattr(layer, "moving_mean"))
    assert normalised > 0
    assert count_parameters(network) == everything - 2 * normalised


# ---- what every network gives --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_one_training_step_reaches_all_weights_and_lowers_the_loss(name):
    patches, labels = patches_and_labels()
    network = narrow(name)
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    with tf.GradientTape() as tape:
        scores = network(patches, training=True)
        before = loss_of(labels, scores)
    assert scores.shape == (2, 64, 64, CLASSES)
    assert array(scores).dtype == np.float32
    assert array(scores).min() >= 0
    np.testing.assert_allclose(array(scores).sum(axis=-1), 1, atol=1e-5)

    gradients = tape.gradient(before, network.trainable_weights)
    for weight, gradient in zip(network.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        # a bias before batch normalisation is taken away again by the mean; all else must move
        if not weight.path.endswith("bias"):
            assert np.abs(array(gradient)).max() > 0, weight.path
    keras.optimizers.SGD(0.001).apply(gradients, network.trainable_weights)  # the optimisers have their own test
    assert loss_of(labels, network(patches, training=True)) < before


@pytest.mark.parametrize("name", ["UAMD", "UVDD", "UQD", "FCN"])  # every kind of layer there is
def test_a_network_gives_the_same_scores_after_it_was_written_and_read(name, tmp_path):
    patches, _ = patches_and_labels(side=32)
    network = narrow(name, side=32)
    network(10 * patches + 1, training=True)  # moves the averages of batch normalisation
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    both = with_head_input(loaded)
    assert {id(weight) for weight in both.weights} == {id(weight) for weight in loaded.weights}
    np.testing.assert_array_equal(array(both(patches)[1]), array(network(patches)))


@pytest.mark.parametrize("name", ["U1", "UAD", "FCN"])
def test_scores_are_the_softmax_of_the_classifier_on_the_head_input(name):
    network, (patches, _) = shared(name), patches_and_labels(side=32)
    head, scores = (array(output) for output in with_head_input(network)(patches))
    np.testing.assert_array_equal(scores, array(network(patches)))
    assert head.shape == (2, 32, 32, 4)
    logits = apply_1x1(network, "classifier", head)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=-1, keepdims=True), scores, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("U1", "decoder_1_activation_2"), ("UMD", "output_supervision_1_add"), ("FCN", "fuse_1_transposed_conv")],
)
def test_the_head_input_is_t1_or_z1_or_the_fused_map(name, layer):
    network = shared(name)
    assert head_input(network) is network.get_layer(layer).output


@pytest.mark.parametrize(
    ("name", "side", "width"), [("UAMD", 16, 1), ("UVDD", 48, 3), ("UQD", 80, 1), ("UDD2", 16, 5), ("FCN", 96, 1)]
)
def test_any_width_and_any_side_of_the_right_multiple_will_do(name, side, width):
    network = narrow(name, side=side, width=width)
    assert network.output.shape == (None, side, side, CLASSES)
    assert head_input(network).shape == (None, side, side, width)


@pytest.mark.parametrize(
    ("encoder", "decoder", "skip"),
    [
        ("unet", "dense", "attention"),
        ("vgg", "unet", "attention"),
        ("vgg", "dense", "ds2"),
        ("dense", "unet", "ds1"),
        ("dense", "unet", "concatenate"),
        ("dense", "dense", "attention"),
    ],
)
def test_blocks_combine_freely(encoder, decoder, skip):
    network = narrow("U1", side=16, width=2, encoder=encoder, decoder=decoder, skip=skip, output="ds3")
    assert network.output.shape == (None, 16, 16, CLASSES)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_scores_are_computed_in_float32_under_mixed_precision(policy):
    patches, _ = patches_and_labels(side=32)
    keras.config.set_dtype_policy(policy)
    try:
        network = narrow("UAMD", side=32)
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("classifier").compute_dtype == policy.removeprefix("mixed_")
    scores = array(network(patches))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-6)  # far below what 16 bits can hold


def test_channels_stay_last_whatever_the_user_s_keras_defaults_to():
    expected = narrow("UVMD", side=32, skip="attention", activation="prelu")
    keras.config.set_image_data_format("channels_first")
    try:
        network = narrow("UVMD", side=32, skip="attention", activation="prelu")
    finally:
        keras.config.set_image_data_format("channels_last")
    patches, _ = patches_and_labels(side=32)
    np.testing.assert_array_equal(array(network(patches)), array(expected(patches)))


# ---- seeds ---------------------------------------------------------------------------------------------------------
def test_the_same_seed_gives_the_same_weights_whatever_was_built_before():
    first = narrow("UAMD", seed=7).get_weights()
    keras.utils.set_random_seed(99)
    narrow("FCN", seed=7)
    again = narrow("UAMD", seed=7).get_weights()
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_other_kernels():
    one, other = narrow("UAMD", seed=7), narrow("UAMD", seed=8)
    for a, b in zip(one.trainable_weights, other.trainable_weights, strict=True):
        if a.path.endswith("kernel"):
            assert not np.array_equal(array(a), array(b)), a.path


def test_layers_of_the_same_shape_start_differently():
    network = narrow("UQD")
    kernels = [array(network.get_layer(f"encoder_{n}_conv_2").kernel) for n in (2, 3, 4)]
    for one, other in itertools.combinations(kernels, 2):
        assert one.shape == other.shape
        assert not np.array_equal(one, other)


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


def test_skip_connections_concatenate_the_encoder_with_the_raised_decoder():
    _, tensor, _ = letters("U1")
    for n in (1, 2, 3, 4):
        c, raised = tensor["C", n], tensor["R", n]
        assert c.shape == raised.shape == (2, 32 >> (n - 1), 32 >> (n - 1), 4 << (n - 1))
        np.testing.assert_array_equal(tensor["D", n], np.concatenate([c, raised], axis=-1))


@pytest.mark.parametrize("name", ["U1", "UDD", "UDD2", "UAD"])
def test_the_decoder_starts_from_the_bottleneck(name):
    network = shared(name)
    raised_from = network.get_layer("decoder_4_transposed_conv").input
    assert raised_from is network.get_layer("bottleneck_activation_2").output


def test_attention_gates_follow_their_equation():
    network, tensor, _ = letters("UAD")
    for n in (1, 2, 3, 4):
        c, gate = tensor["C", n], tensor["R", n]
        hidden = apply_1x1(network, f"attention_{n}_features", c) + apply_1x1(network, f"attention_{n}_gate", gate)
        assert hidden.shape[-1] == c.shape[-1] // 2
        mask = 1 / (1 + np.exp(-apply_1x1(network, f"attention_{n}_energy", np.maximum(hidden, 0))))
        assert mask.shape[-1] == 1
        np.testing.assert_allclose(tensor["D", n], np.concatenate([c * mask, gate], axis=-1), atol=1e-5)


def test_deep_supervision_1_adds_what_comes_from_below():
    network, tensor, _ = letters("UDD")
    s = apply_1x1(network, "skip_supervision_5_conv", tensor["C", 5])
    for n in (4, 3, 2, 1):
        s = apply_1x1(network, f"skip_supervision_{n}_conv", tensor["C", n]) + double(s)
        assert s.shape[-1] == 4
        np.testing.assert_allclose(tensor["D", n], np.concatenate([s, tensor["R", n]], axis=-1), atol=1e-5)


def test_deep_supervision_2_adds_what_comes_from_above():
    network, tensor, _ = letters("UDD2")
    s = apply_1x1(network, "skip_supervision_1_conv", tensor["C", 1])
    for n in (1, 2, 3, 4):
        if n > 1:
            s = apply_1x1(network, f"skip_supervision_{n}_conv", tensor["C", n]) + halve(s)
        assert s.shape[-1] == 4
        np.testing.assert_allclose(tensor["D", n], np.concatenate([s, tensor["R", n]], axis=-1), atol=1e-5)


def test_deep_supervision_3_sums_the_decoder_s_levels():
    network, tensor, head = letters("UD")
    z = apply_1x1(network, "output_supervision_4_conv", tensor["T", 4])
    for n in (3, 2, 1):
        z = apply_1x1(network, f"output_supervision_{n}_conv", tensor["T", n]) + double(z)
    np.testing.assert_allclose(head, z, atol=1e-5)


def test_dense_blocks_take_all_that_came_before():
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


def test_the_multi_kernel_input_sees_four_scales():
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
def test_layers_follow_one_another_as_written(name, chain):
    network = shared(name)
    for before, after in itertools.pairwise(chain):
        assert network.get_layer(after).input is network.get_layer(before).output


def test_the_fcn_fuses_three_resolutions():
    network, (patches, _) = shared("FCN"), patches_and_labels(side=32)
    for n in (4, 3):
        parts = tensors_of(network, patches, f"fuse_{n}_conv", f"fuse_{n}_transposed_conv", f"fuse_{n}_add")
        own, raised, fused = parts.values()
        assert own.shape == (2, 32 >> n, 32 >> n, 4)
        np.testing.assert_array_equal(fused, own + raised)
    assert tuple(network.get_layer("fc6").kernel.shape) == (7, 7, 8 * 4, 32)


def test_vgg_encoders_have_two_or_three_convolutions_and_no_normalisation():
    network = shared("UVDD")
    names = [layer.name for layer in network.layers]
    counts = [sum(name.startswith(f"encoder_{n}_conv_") for name in names) for n in (1, 2, 3, 4)]
    assert [*counts, sum(name.startswith("bottleneck_conv_") for name in names)] == [2, 2, 3, 3, 3]
    assert not [name for name in names if "normalisation" in name and not name.startswith("decoder")]


def test_prelu_has_one_slope_a_channel_in_every_convolutional_block():
    network = shared("UVDD")
    hidden = [layer for layer in network.layers if "_activation" in layer.name]
    assert len(hidden) == 13 + 8
    for layer in hidden:
        assert tuple(layer.alpha.shape) == (1, 1, layer.output.shape[-1])
    assert not [layer for layer in network.layers if isinstance(layer, keras.layers.ReLU)]


@pytest.mark.parametrize("side", [4, 16])
def test_the_fcn_starts_from_bilinear_interpolation(side):
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


# ---- entries -------------------------------------------------------------------------------------------------------
def test_an_empty_entry_is_the_standard_unet():
    assert complete_topology("U1", {}) == dict(TOPOLOGY_DEFAULTS)


def test_a_complete_entry_stays_as_it_is():
    for name, entry in TOPOLOGIES.items():
        complete = complete_topology(name, entry)
        assert complete_topology(name, complete) == complete
        assert complete | entry == complete


@pytest.mark.parametrize("key", TOPOLOGY_CHOICES)
def test_an_unknown_value_is_answered_with_the_topology_the_key_and_what_is_allowed(key):
    with pytest.raises(InputError) as caught:
        narrow("U1", **{key: "foo"})
    for expected in ("U1", key, "'foo'", *TOPOLOGY_CHOICES[key]):
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"encoders": "vgg"}, "unknown key 'encoders'"),
        ({"learning_rate": "1e-3"}, "learning_rate of X must be a number above 0, found '1e-3'"),
        ({"learning_rate": 0}, "found 0"),
        ({"learning_rate": math.nan}, "found nan"),
        ({"learning_rate": True}, "found True"),
        ({"family": "fcn8", "fully_connected": 4096.0}, "fully_connected of X must be a whole number above 0"),
        ({"family": "fcn8", "skip": "attention"}, "skip can only be left out"),
        ({"fully_connected": 512}, "family: fcn8"),
        (None, "must be a mapping"),
        ({"skip": ["ds1"]}, "found ['ds1']"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused_in_one_sentence(entry, expected):
    with pytest.raises(InputError) as caught:
        complete_topology("X", entry)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "side", "remedy"), [("U1", 250, "take 240"), ("FCN", 48, "take 32")])
def test_a_side_that_cannot_be_halved_often_enough_is_refused(name, side, remedy):
    with pytest.raises(InputError, match=f"patches: side .* {name}, found {side}; {remedy}"):
        narrow(name, side=side)


def test_optimisers_are_table_4_s_with_keras_defaults_for_the_rest():
    made = optimiser(TOPOLOGIES["UAD"])
    assert isinstance(made, keras.optimizers.RMSprop)
    assert float(made.learning_rate) == pytest.approx(0.001)
    assert made.rho == keras.optimizers.RMSprop().rho
    assert isinstance(optimiser(TOPOLOGIES["U1"]), keras.optimizers.Adadelta)
    assert float(optimiser(TOPOLOGIES["U1"]).learning_rate) == 1.0
    assert isinstance(optimiser({}), keras.optimizers.Adam)
    assert optimiser({}) is not optimiser({})


@pytest.mark.parametrize("name", ["U1", "UAD", "UD"])  # Adadelta, RMSprop, Adam
def test_table_4_s_optimisers_lower_the_loss_in_their_first_step(name):
    patches, labels = patches_and_labels(side=32)
    network, loss_of = narrow(name, side=32), keras.losses.SparseCategoricalCrossentropy()
    with tf.GradientTape() as tape:
        before = loss_of(labels, network(patches, training=True))
    gradients = tape.gradient(before, network.trainable_weights)
    optimiser(TOPOLOGIES[name]).apply(gradients, network.trainable_weights)
    assert loss_of(labels, network(patches, training=True)) < before


@pytest.mark.parametrize("name", TOPOLOGY_CHOICES["optimiser"])
def test_keras_knows_every_optimiser_offered(name):
    made = optimiser({"optimiser": name, "learning_rate": 0.25})
    assert type(made).__name__.lower() == name
    assert float(made.learning_rate) == 0.25


# ---- the house -----------------------------------------------------------------------------------------------------
def test_the_topologies_can_be_read_without_anything_heavy():
    code = (
        "import sys; sys.path.insert(0, 'workflow_scripts'); import lumbarseg.networks.topology; "
        "sys.exit(bool({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_networks_are_written_with_keras_alone():
    for path in Path(blocks.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {module for module in modules if module.split(".")[0] in ("tensorflow", "jax", "torch")}, path
