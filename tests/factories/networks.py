"""The config's topologies as narrow networks, what goes into them, and what comes out of their layers."""

import functools
from pathlib import Path

import keras
import numpy as np
import scipy.ndimage
import yaml

from lumbarseg.models.build import build_network

REPOSITORY = Path(__file__).parents[2]
TOPOLOGIES = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))["topologies"]
CHANNELS, CLASSES = 2, 12


def narrow(name, *, side=64, base_filters=4, seed=1, **changes):
    entry = TOPOLOGIES[name] | changes
    if entry.get("family") == "fcn8":
        entry = {"fully_connected": 32} | entry
    return build_network(
        entry, side=side, channels=CHANNELS, classes=CLASSES, base_filters=base_filters, seed=seed, name=name
    )


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
