"""Networks in another precision: the same weights, other dtypes."""

import keras
import numpy as np
import pytest

from factories.bundle import SIDE, small_network
from lumbarseg.models.precision import with_dtype


def patches():
    return np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 2)).astype(np.float32)


def test_with_dtype_keeps_the_weights_of_mixed_precision_networks():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = small_network("UD")
    finally:
        keras.config.set_dtype_policy(before)
    made, plain = with_dtype(mixed, "float32"), small_network("UD")
    assert {layer.compute_dtype for layer in mixed.layers} == {"bfloat16", "float32"}
    assert {layer.compute_dtype for layer in made.layers} == {"float32"}
    plain.set_weights(mixed.get_weights())
    patch = patches()
    assert np.asarray(made(patch)) == pytest.approx(np.asarray(plain(patch)), abs=1e-6)
    assert with_dtype(plain, "float32") is plain


def test_with_dtype_rounds_weights_to_float16_and_back(tmp_path):
    network = small_network("UD")
    small = with_dtype(network, "float16")
    small.save(tmp_path / "small.keras")
    network.save(tmp_path / "large.keras")
    assert {weight.dtype for weight in small.get_weights()} == {np.dtype(np.float16)}
    assert (tmp_path / "small.keras").stat().st_size < (tmp_path / "large.keras").stat().st_size
    back = with_dtype(keras.models.load_model(tmp_path / "small.keras", compile=False), "float32")
    assert {layer.compute_dtype for layer in back.layers} == {"float32"}
    for one, other in zip(back.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7)
    assert np.asarray(back(patches())) == pytest.approx(np.asarray(network(patches())), abs=0.01)
