"""Networks from files of anybody: the weights are used, and nothing else of the file."""

import dataclasses
import itertools
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from factories.bundle import small_network
from factories.networks import narrow
from lumbarseg.errors import InputError
from lumbarseg.models.build import build_network, count_parameters, fewest_parameters
from lumbarseg.models.metadata import load_network, save_network
from lumbarseg.models.precision import with_dtype
from lumbarseg.models.stored_network import CONFIG, WEIGHTS, count_values, load_stored_network, read_layers
from lumbarseg.models.transfer import layers_of

METADATA = {"name": "UD", "fold": 1, "channels": ["T2w", "T1w"], "classes": ["a", "b", "c"]}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A network's file; tests do not change it."""
    path = tmp_path_factory.mktemp("network") / "UD.keras"
    save_network(small_network("UD"), path, METADATA)
    return path


def load(path, build=lambda: small_network("UD"), fewest=1):
    return load_stored_network(path, METADATA, build, fewest)


def never():
    raise AssertionError("built before the file was found to be too small")


def altered(file, folder, method=zipfile.ZIP_STORED, **changes):
    """A copy of a network's file with other contents."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(folder / "altered.keras", "w", method) as copy:
        for name in source.namelist():
            copy.writestr(name, changes.pop(name, None) or source.read(name))
        for name, content in changes.items():
            copy.writestr(name, content)
    return folder / "altered.keras"


def rewritten(file, folder, change):
    """The weights of a file, changed in HDF5."""
    with zipfile.ZipFile(file) as archive:
        (folder / WEIGHTS).write_bytes(archive.read(WEIGHTS))
    with h5py.File(folder / WEIGHTS, "r+") as weights:
        change(weights)
    return altered(file, folder, **{WEIGHTS: (folder / WEIGHTS).read_bytes()})


def config_of(file, change):
    with zipfile.ZipFile(file) as archive:
        config = json.loads(archive.read(CONFIG))
    change(config["config"]["layers"])
    return json.dumps(config)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_load_stored_network_gives_the_weights_and_scores_of_the_file(tmp_path, dtype):
    trained = with_dtype(small_network("UD"), dtype)
    trained.set_weights([np.random.default_rng(1).uniform(0.1, 1, one.shape) for one in trained.get_weights()])
    save_network(trained, tmp_path / "UD.keras", METADATA)
    as_keras_reads_it = with_dtype(load_network(tmp_path / "UD.keras", METADATA), "float32")
    found = load(tmp_path / "UD.keras")
    for one, other in zip(found.get_weights(), as_keras_reads_it.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    images = np.random.default_rng(2).normal(size=(1, 32, 32, 2)).astype(np.float32)
    np.testing.assert_array_equal(found(images), as_keras_reads_it(images))


def larger(weights):
    weights.create_dataset("layers/more/vars/0", (8, 8), "f4", data=np.ones((8, 8)))


def compressed(weights):
    weights.create_dataset("bomb", (5000, 5000), "f4", compression="gzip", data=np.zeros((5000, 5000), "f4"))


def never_written(weights):
    weights.create_dataset("bomb", (10**6, 10**6), "f4")


def external(weights):
    weights.create_dataset("elsewhere", (10,), "f4", external=[("/etc/passwd", 0, 40)])


def linked(weights):
    weights["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def repeated(weights):
    place = next(name for name in weights["layers"] if "vars/0" in weights["layers"][name])
    for number in range(5000):
        weights[f"again/{number}"] = weights["layers"][place]["vars"]["0"]


def woven(weights):
    """Groups that each hold the next one 30 times: 22 kB with 30⁶ ways to their array."""
    below = weights.create_group("last")
    below["array"] = np.ones(1, "f4")
    for level in range(6):
        above = weights.create_group(f"level{level}")
        for number in range(30):
            above[str(number)] = below
        del weights["last" if level == 0 else f"level{level - 1}"]
        below = above


def whole_numbers(weights):
    weights["small"] = np.ones(10, "i1")


def doubled(weights):
    weights["large"] = np.ones(10, "f8")


def without_value(weights):
    weights["nothing"] = h5py.Empty("f4")


def misplaced(weights):
    """Two kernels in each other's place, in a file of as many weights."""
    weights.move("layers/conv2d/vars/0", "spare")
    weights.move("layers/conv2d_2/vars/0", "layers/conv2d/vars/0")
    weights.move("spare", "layers/conv2d_2/vars/0")


def renamed(weights):
    weights.move("layers/conv2d_3", "layers/conv2d_300")


def diverged(weights):
    weights["layers/conv2d_1/vars/0"][0, 0, 0, 0] = np.nan


def infinite(weights):
    weights["layers/batch_normalization/vars/3"][0] = -np.inf


def deep(weights):
    weights.create_group("/".join("a" * 50))


def text(weights):
    weights["words"] = "a text"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (larger, "the layers are not those of the topology UD"), (compressed, "compressed or external"),
        (never_written, "not stored as they are"), (external, "compressed or external"), (linked, "links to other places"),
        (repeated, "one part in several places"), (woven, "one part in several places"), (deep, "too many levels"),
        (text, "no array of float16 or float32"), (whole_numbers, "no array of float16 or float32"),
        (doubled, "no array of float16 or float32"), (without_value, "damaged network"), (misplaced, "that the network cannot have"), (renamed, "that the network cannot have"),
        (diverged, "some are not finite"), (infinite, "some are not finite"),
    ],
)  # fmt: skip
def test_load_stored_network_refuses_weights_that_are_not_plain(file, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        load(rewritten(file, tmp_path, change))


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        (zipfile.ZIP_DEFLATED, {}, "compressed files"),
        (zipfile.ZIP_STORED, {"assets/code.py": b"print()"}, "additional files"),
        (zipfile.ZIP_STORED, {WEIGHTS: b"no HDF5"}, "damaged network"),
        (zipfile.ZIP_STORED, {CONFIG: b"[" * 10**5}, "damaged network"),
    ],
)
def test_load_stored_network_refuses_compressed_additional_and_damaged_members(
    file, tmp_path, method, changes, message
):
    with pytest.raises(InputError, match=message):
        load(altered(file, tmp_path, method, **changes))


def add_lambda(layers):
    layers.insert(
        1, {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "evil"}, "inbound_nodes": []}
    )


def widen(layers):
    next(layer for layer in layers if layer["class_name"] == "Conv2D")["config"]["filters"] = 10**9


def swap(layers):
    layers[1], layers[2] = layers[2], layers[1]


@pytest.mark.parametrize("change", [add_lambda, widen, swap])
def test_stored_networks_with_other_layers_are_refused(file, tmp_path, change):
    path = altered(file, tmp_path, **{CONFIG: config_of(file, change)})
    with pytest.raises(InputError, match="the layers are not those of the topology UD"):
        load(path)


@pytest.mark.parametrize("change", [add_lambda, widen])
def test_read_layers_takes_nothing_but_names_and_weights_from_a_file(file, tmp_path, change):
    found = read_layers(altered(file, tmp_path, **{CONFIG: config_of(file, change)}))
    for name, layer in read_layers(file).items():
        assert all(map(np.array_equal, found[name].weights, layer.weights))


def test_count_values_ends_at_once_where_groups_hold_each_other(file, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as weights:
        woven(weights)
        weights["again"] = weights["/"]
    with pytest.raises(ValueError, match="one part in several places"):
        count_values(tmp_path / "a.h5")


def test_load_stored_network_builds_nothing_that_is_larger_than_its_file(file):
    topology = {"family": "unet"}
    with pytest.raises(InputError, match="weights, where the topology has at least"):
        load(file, never, fewest_parameters(topology, 4096))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("topology", ["FCN", "UAMD", "UQD"])
def test_read_layers_gives_the_weights_and_places_of_the_network_that_keras_loads(tmp_path, topology, dtype):
    network = narrow(topology, side=32, **({} if topology == "FCN" else {"activation": "prelu"}))
    save_network(with_dtype(network, dtype), tmp_path / "a.keras", METADATA)
    found, expected = read_layers(tmp_path / "a.keras"), layers_of(load_network(tmp_path / "a.keras", METADATA))
    assert list(found) == list(expected)
    for name, layer in expected.items():
        assert dataclasses.replace(found[name], weights=()) == dataclasses.replace(layer, weights=())
        assert len(found[name].weights) == len(layer.weights)
        for one, other in zip(found[name].weights, layer.weights, strict=True):
            assert np.array_equal(one, other)
            assert one.dtype == dtype


@pytest.mark.parametrize("change", [diverged, infinite, woven, compressed, whole_numbers, text])
def test_read_layers_refuses_weights_that_are_not_plain_or_not_finite(file, tmp_path, change):
    path = rewritten(file, tmp_path, change)
    with pytest.raises(ValueError, match=r"not finite|several places|compressed|no array of"):
        read_layers(path)


def test_load_network_refuses_weights_that_are_not_finite(file, tmp_path):
    with pytest.raises(InputError, match=r"altered\.keras: the network's weights are not finite; train it again"):
        load_network(rewritten(file, tmp_path, diverged), METADATA)


TOPOLOGIES = [
    *({"encoder": encoder, "decoder": decoder, "skip": skip} for encoder, decoder, skip in itertools.product(
        ("vgg", "dense"), ("unet", "dense"), ("ds2", "attention"))),
    {"input": "multi_kernel", "encoder": "vgg"}, {"family": "fcn8", "fully_connected": 1}, {"family": "fcn8", "fully_connected": 40},
    {"transposed_kernel": 12, "batch_normalisation": []},
]  # fmt: skip


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
def test_fewest_parameters_is_a_bound_that_is_not_far_off(topology):
    network = build_network(topology, side=32, channels=1, classes=2, base_filters=4, seed=0, name="any")
    assert fewest_parameters(topology, 4) <= count_parameters(network) <= 45 * fewest_parameters(topology, 4)
    keras.backend.clear_session()
