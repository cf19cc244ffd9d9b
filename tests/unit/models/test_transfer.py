"""Start from the weights of another network."""

import json
import zipfile

import keras
import numpy as np
import pytest

from factories.workflow import PAPER
from lumbarseg.errors import InputError
from lumbarseg.models.build import build_network
from lumbarseg.models.metadata import network_metadata, save_network
from lumbarseg.models.transfer import copy_weights, layers_of, start_from

CLASSES = ["Background", "Vert", "Int-Disc"]


def network(seed, topology="U1", **changes):
    shape = {"side": 32, "channels": 2, "classes": 3, "base_filters": 2} | changes
    entry = PAPER["topologies"][topology] | ({"fully_connected": 8} if topology == "FCN" else {})
    return build_network(entry, **shape, seed=seed, name=topology)


def weights(network):
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def trained(topology="UD", **changes):
    """A network in which every weight differs from what a fresh network has."""
    found = network(7, topology, **changes)
    generator = np.random.default_rng(7)
    for variable in found.variables:
        variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return found


def start(topology, source, tmp_path, **changes):
    """Start a network from a stored one; return it and the line for the log."""
    path = tmp_path / "source.keras"
    save_network(source, path, network_metadata(source.name, 1, ["T2w", "T1w"], CLASSES))
    target = network(2, topology, **changes)
    return target, start_from(target, path, None, CLASSES)


def test_copy_weights_makes_two_networks_of_one_kind_the_same():
    source, target = trained("U1"), network(2)
    images = np.random.default_rng(1).normal(size=(1, 32, 32, 2)).astype(np.float32)
    assert not np.array_equal(source(images), target(images))
    assert copy_weights(layers_of(source), target) == []
    assert np.array_equal(source(images), target(images))


ENCODER_START = "encoder_1_conv_1"
INPUT = {
    f"input_kernel_{kernel}_{layer}_{i}"
    for kernel in (1, 3, 5, 7)
    for layer in ("conv", "normalisation")
    for i in (1, 2)
}
GATES = {f"attention_{n}_{part}" for n in (1, 2, 3, 4) for part in ("features", "gate", "energy")}
ENCODER = {f"encoder_{n}_{layer}_{i}" for n in (1, 2, 3, 4) for layer in ("conv", "normalisation") for i in (1, 2)}


@pytest.mark.parametrize(
    ("source", "target", "fresh"),
    [
        ("UD", "UD", set()),
        ("UD", "U1", {"classifier"}),
        ("UD", "UMD", {ENCODER_START} | INPUT),
        ("UD", "UAD", GATES),
        ("UA", "U1", set()),
        # Convolutions of VGG blocks are not followed by batch normalisation.
        ("UVMD", "UMD", ENCODER | {f"bottleneck_{layer}_{i}" for layer in ("conv", "normalisation") for i in (1, 2)} | {"decoder_4_transposed_conv"}),
    ],
)  # fmt: skip
def test_copy_weights_carries_over_what_two_topologies_have_in_common(source, target, fresh):
    copied, ours = trained(source), network(2, target)
    before = weights(ours)
    assert set(copy_weights(layers_of(copied), ours)) == fresh
    for name, values in weights(ours).items():
        expected = before if name in fresh else weights(copied)
        assert all(np.array_equal(a, b) for a, b in zip(values, expected[name], strict=True)), name


def test_copy_weights_of_a_network_of_t2w_makes_one_of_both_contrasts_that_ignores_t1w_at_first():
    source, target = trained("UD", channels=1), network(2, "UD", channels=2)
    assert copy_weights(layers_of(source), target) == []
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 2)).astype(np.float32)
    assert np.array_equal(source(images[..., :1]), target(images))
    back = network(4, "UD", channels=1)
    copy_weights(layers_of(target), back)
    assert np.array_equal(source(images[..., :1]), back(images[..., :1]))


def test_copy_weights_of_dense_blocks_leaves_layers_of_the_same_name_and_shape_that_do_something_else():
    # decoder_2_normalisation_1 follows a convolution in UD and goes before one in UQD; both have 4 channels.
    source, target = trained("UD"), network(2, "UQD")
    shapes = [[one.shape for one in weights(one)["decoder_2_normalisation_1"]] for one in (source, target)]
    assert shapes[0] == shapes[1]
    assert "decoder_2_normalisation_1" in copy_weights(layers_of(source), target)


def test_copy_weights_reads_half_precision(tmp_path):
    keras.config.set_dtype_policy("float16")
    try:
        source = trained("U1")
    finally:
        keras.config.set_dtype_policy("float32")
    target = network(2)
    assert copy_weights(layers_of(source), target) == []
    assert all(variable.dtype == "float32" for variable in target.variables)
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one.astype(np.float32), other)


@pytest.mark.parametrize(
    ("topology", "changes", "line"),
    [
        ("UD", {}, "45 of 45 layers start from {}; fresh: none"),
        ("UD", {"classes": 5}, "44 of 45 layers start from {}; fresh: classifier"),
        ("UD", {"channels": 1}, "45 of 45 layers start from {}; fresh: none"),
        ("U1", {}, "40 of 41 layers start from {}; fresh: classifier"),
        (
            "UMD",
            {},
            "44 of 61 layers start from {}; fresh: input_kernel_1_conv_1, input_kernel_3_conv_1, input_kernel_5_conv_1, ",
        ),
    ],
)
def test_start_from_counts_layers_and_names_those_that_do_not_fit(tmp_path, topology, changes, line):
    _, found = start(topology, trained(), tmp_path, **changes)
    assert found.startswith(line.format(tmp_path / "source.keras"))
    assert topology != "UMD" or found.endswith(" and 5 more")


def test_start_from_a_network_of_other_classes_starts_the_classifier_fresh(tmp_path):
    path = tmp_path / "source.keras"
    save_network(trained(), path, network_metadata("UD", 1, ["T2w", "T1w"], ["Background", "Vert", "Sacrum"]))
    assert start_from(network(2, "UD"), path, None, CLASSES).endswith("fresh: classifier")


def test_start_from_a_bundle_takes_the_named_network(tmp_path):
    networks = {"UD": trained(), "U1": network(3)}
    bundle = tmp_path / "best.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, one in networks.items():
            save_network(one, tmp_path / f"{name}.keras", network_metadata(name, 1, ["T2w", "T1w"], CLASSES))
            archive.write(tmp_path / f"{name}.keras", f"networks/{name}.keras")
    target = network(2)
    assert start_from(target, bundle, "networks/U1.keras", CLASSES).startswith("41 of 41 layers start from ")
    assert all(np.array_equal(a, b) for a, b in zip(target.get_weights(), networks["U1"].get_weights(), strict=True))
    with pytest.raises(
        InputError, match=r"best\.zip: damaged, or not trained by this workflow .*UA\.keras.*; copy the file again"
    ):
        start_from(target, bundle, "networks/UA.keras", CLASSES)


def test_start_from_refuses_a_network_of_which_nothing_fits(tmp_path):
    with pytest.raises(
        InputError,
        match=r"source\.keras: no layer of this network fits UD, because it was trained with `training\.base_filters: 4`, not 2; change",
    ):
        start("UD", trained(base_filters=4), tmp_path)
    with pytest.raises(
        InputError, match=r"no layer of this network fits FCN, because it is made of other blocks \(UD\)"
    ):
        start("FCN", trained(), tmp_path)


def test_start_from_refuses_what_is_no_network(tmp_path):
    path = tmp_path / "source.keras"
    path.write_text("no network")
    with pytest.raises(InputError, match=r"source\.keras: damaged, or not trained by this workflow"):
        start_from(network(2), path, None, CLASSES)


def changed(path, change):
    """Rewrite the config of a network's file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def enlarge(config):
    """State an input of 50 million rows, and batch normalisation of each of them."""
    layers = config["config"]["layers"]
    layers[0]["config"]["batch_shape"] = [None, 50000000, 1, 2]
    for layer in layers:
        if layer["class_name"] == "BatchNormalization":
            layer["config"]["axis"] = 1


HARMLESS = {
    "infinite filters": lambda config: config["config"]["layers"][1]["config"].update(filters=float("inf")),
    "no strides": lambda config: config["config"]["layers"][1]["config"].update(strides=[0, 0]),
    "unknown output": lambda config: config["config"].update(output_layers=[["nope", 0, 0]]),
    "output beyond the last": lambda config: config["config"].update(output_layers=[["scores", 7, 3]]),
    "large input": enlarge,
    "another kind of model": lambda config: config.update(class_name="Lambda", module="os"),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_start_from_builds_nothing_of_what_a_file_states(tmp_path, change):
    path = tmp_path / "source.keras"
    save_network(trained(), path, network_metadata("UD", 1, ["T2w", "T1w"], CLASSES))
    changed(path, HARMLESS[change])
    target = network(2, "UD")
    assert start_from(target, path, None, CLASSES).startswith("45 of 45 layers start from ")
    assert all(np.array_equal(a, b) for a, b in zip(target.get_weights(), trained().get_weights(), strict=True))


WRONG = {
    "no layers": lambda config: config["config"].update(layers=None),
    "a number as layer": lambda config: config["config"]["layers"].insert(0, 5),
    "a list as name": lambda config: config["config"]["layers"][1]["config"].update(name=["\x1b[31m"]),
    "more layers than weights": lambda config: config["config"]["layers"].extend(config["config"]["layers"]),
    "no config": lambda config: config.clear(),
}


@pytest.mark.parametrize("change", WRONG)
def test_start_from_refuses_a_file_of_another_form_in_one_sentence(tmp_path, change):
    path = tmp_path / "source.keras"
    save_network(trained(), path, network_metadata("UD", 1, ["T2w", "T1w"], CLASSES))
    changed(path, WRONG[change])
    with pytest.raises(InputError, match=r"source\.keras: damaged, or not trained by this workflow") as found:
        start_from(network(2, "UD"), path, None, CLASSES)
    assert str(found.value).isprintable()


def test_start_from_refuses_weights_that_are_not_finite(tmp_path):
    source = trained()
    source.get_layer("classifier").bias.assign([1, np.nan, 0])
    with pytest.raises(InputError, match=r"source\.keras: damaged, .*not finite"):
        start("UD", source, tmp_path)
