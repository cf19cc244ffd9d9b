"""The thirteen topologies: their parameters, their equations, their weights, and what a wrong entry says."""

import ast
import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from factories.networks import (
    CHANNELS,
    CLASSES,
    TOPOLOGIES,
    apply_1x1,
    array,
    narrow,
    patches_and_labels,
    shared,
)
from lumbarseg.config.topology import TOPOLOGY_CHOICES
from lumbarseg.errors import InputError
from lumbarseg.models import blocks
from lumbarseg.models.build import (
    build_network,
    count_parameters,
    head_input,
    multiply_accumulates,
    optimiser,
    with_head_input,
)

# TensorFlow's variables and NumPy 2, within Keras
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

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


@pytest.fixture(scope="module")
def full_width():
    """Trainable parameters and multiply–accumulates at the paper's width, from networks whose weights are all 0."""
    costs = {}
    with pytest.MonkeyPatch.context() as patch:
        for initialiser in ("HeNormal", "GlorotUniform"):
            patch.setattr(keras.initializers, initialiser, lambda seed: keras.initializers.Zeros())
        for name, entry in TOPOLOGIES.items():
            network = build_network(
                entry, side=256, channels=CHANNELS, classes=CLASSES, base_filters=64, seed=1, name=name
            )
            assert head_input(network).shape == (None, 256, 256, 64)
            costs[name] = count_parameters(network), multiply_accumulates(network)
    return costs


# ---- cost ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PARAMETERS)
def test_count_parameters_at_full_width_equals_the_readings(full_width, name):
    assert full_width[name][0] == PARAMETERS[name]


def test_multiply_accumulates_of_the_standard_unet_equal_those_counted_by_hand(full_width):
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
def test_multiply_accumulates_equal_a_loop_that_counts_one_by_one(name):
    network = narrow(name, side=32, base_filters=1, **({"fully_connected": 3} if name == "FCN" else {}))
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


def test_count_parameters_leaves_out_moving_averages():
    network = narrow("U1")
    everything = sum(array(weight).size for weight in network.weights)
    normalised = sum(layer.gamma.shape[0] for layer in network.layers if hasattr(layer, "moving_mean"))
    assert normalised > 0
    assert count_parameters(network) == everything - 2 * normalised


# ---- what every network gives --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_build_network_trains_all_weights_and_lowers_the_loss_in_one_step_of_its_optimiser(name):
    patches, labels = patches_and_labels(side=32)
    network = narrow(name, side=32)
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    with tf.GradientTape() as tape:
        scores = network(patches, training=True)
        before = loss_of(labels, scores)
    assert scores.shape == (2, 32, 32, CLASSES)
    assert array(scores).dtype == np.float32
    assert array(scores).min() >= 0
    np.testing.assert_allclose(array(scores).sum(axis=-1), 1, atol=1e-5)

    gradients = tape.gradient(before, network.trainable_weights)
    for weight, gradient in zip(network.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        # a bias before batch normalisation is cancelled by the mean; all other weights must move
        if not weight.path.endswith("bias"):
            assert np.abs(array(gradient)).max() > 0, weight.path
    optimiser(TOPOLOGIES[name]).apply(gradients, network.trainable_weights)
    assert loss_of(labels, network(patches, training=True)) < before


@pytest.mark.parametrize("name", ["U1", "UAD", "FCN"])
def test_build_network_scores_are_the_softmax_of_the_classifier_on_the_head_input(name):
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
def test_head_input_is_t1_or_z1_or_the_fused_map(name, layer):
    network = shared(name)
    assert head_input(network) is network.get_layer(layer).output


@pytest.mark.parametrize(
    ("name", "side", "width"), [("UAMD", 16, 1), ("UVDD", 48, 3), ("UQD", 80, 1), ("UDD2", 16, 5), ("FCN", 96, 1)]
)
def test_build_network_accepts_any_base_filters_and_any_multiple_of_the_side(name, side, width):
    network = narrow(name, side=side, base_filters=width)
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
def test_build_network_combines_blocks_freely(encoder, decoder, skip):
    network = narrow("U1", side=16, base_filters=2, encoder=encoder, decoder=decoder, skip=skip, output="ds3")
    assert network.output.shape == (None, 16, 16, CLASSES)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_build_network_scores_are_float32_under_mixed_precision(policy):
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


def test_build_network_keeps_channels_last_whatever_the_keras_default():
    expected = narrow("UVMD", side=32, skip="attention", activation="prelu")
    keras.config.set_image_data_format("channels_first")
    try:
        network = narrow("UVMD", side=32, skip="attention", activation="prelu")
    finally:
        keras.config.set_image_data_format("channels_last")
    patches, _ = patches_and_labels(side=32)
    np.testing.assert_array_equal(array(network(patches)), array(expected(patches)))


# ---- seeds ---------------------------------------------------------------------------------------------------------
def test_build_network_weights_depend_on_the_seed_only():
    first = narrow("UAMD", seed=7).get_weights()
    keras.utils.set_random_seed(99)
    narrow("FCN", seed=7)
    again = narrow("UAMD", seed=7).get_weights()
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_build_network_has_other_kernels_with_another_seed():
    one, other = narrow("UAMD", seed=7), narrow("UAMD", seed=8)
    for a, b in zip(one.trainable_weights, other.trainable_weights, strict=True):
        if a.path.endswith("kernel"):
            assert not np.array_equal(array(a), array(b)), a.path


def test_build_network_initialises_layers_of_the_same_shape_differently():
    network = narrow("UQD")
    kernels = [array(network.get_layer(f"encoder_{n}_conv_2").kernel) for n in (2, 3, 4)]
    for one, other in itertools.combinations(kernels, 2):
        assert one.shape == other.shape
        assert not np.array_equal(one, other)


# ---- entries -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", TOPOLOGY_CHOICES)
def test_build_network_rejects_an_unknown_value_and_names_the_allowed_ones(key):
    with pytest.raises(InputError) as caught:
        narrow("U1", **{key: "foo"})
    for expected in (f"topologies.U1.{key}", "`foo`", *TOPOLOGY_CHOICES[key]):
        assert expected in str(caught.value)


@pytest.mark.parametrize(("name", "side", "remedy"), [("U1", 250, "set 240"), ("FCN", 48, "set 32")])
def test_build_network_rejects_a_side_that_is_no_multiple(name, side, remedy):
    with pytest.raises(InputError, match=f"patch_size.* {name} needs a multiple of .*, found {side}; {remedy}"):
        narrow(name, side=side)


def test_optimiser_is_that_of_table_4_with_keras_defaults_for_the_rest():
    made = optimiser(TOPOLOGIES["UAD"])
    assert isinstance(made, keras.optimizers.RMSprop)
    assert float(made.learning_rate) == pytest.approx(0.001)
    assert made.rho == keras.optimizers.RMSprop().rho
    assert isinstance(optimiser(TOPOLOGIES["U1"]), keras.optimizers.Adadelta)
    assert float(optimiser(TOPOLOGIES["U1"]).learning_rate) == 1.0
    assert isinstance(optimiser({}), keras.optimizers.Adam)
    assert optimiser({}) is not optimiser({})


@pytest.mark.parametrize("name", TOPOLOGY_CHOICES["optimiser"])
def test_optimiser_accepts_every_choice_of_the_config(name):
    made = optimiser({"optimiser": name, "learning_rate": 0.25})
    assert type(made).__name__.lower() == name
    assert float(made.learning_rate) == 0.25


# ---- the house -----------------------------------------------------------------------------------------------------
def test_models_import_no_backend_of_keras():
    for path in Path(blocks.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {module for module in modules if module.split(".")[0] in ("tensorflow", "jax", "torch")}, path
