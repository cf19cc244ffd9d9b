"""TensorFlow's settings for a job."""

import keras
import pytest
import tensorflow as tf

from lumbarseg.errors import InputError
from lumbarseg.training.device import prepare_device


@pytest.fixture
def prepared(monkeypatch):
    """Prepare the CPU in a process whose TensorFlow already runs, and set back what can be set again."""
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        monkeypatch.setattr(tf.config.threading, name, lambda threads: None)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: None)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    yield lambda precision: prepare_device("cpu", 1, {"precision": precision, "seed": 1, "xla": False})
    tf.config.experimental.enable_tensor_float_32_execution(True)
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("precision", "policy", "tf32"),
    [("float32", "float32", False), ("tf32", "float32", True), ("mixed_float16", "mixed_float16", True)],
)
def test_prepare_device_uses_tf32_only_when_float32_is_not_asked_for(prepared, precision, policy, tf32):
    tf.config.experimental.enable_tensor_float_32_execution(not tf32)
    prepared(precision)
    assert tf.config.experimental.tensor_float_32_execution_enabled() == tf32
    assert keras.config.dtype_policy().name == policy


def test_prepare_device_refuses_a_gpu_that_is_not_there(prepared):
    with pytest.raises(InputError, match=r"`gpu` is asked for .*TensorFlow finds no GPU"):
        prepare_device("gpu", 1, {"precision": "float32", "seed": 1, "xla": False})
