"""TensorFlow's settings for one job: device, threads, precision, determinism."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from lumbarseg.errors import InputError


def prepare_device(device: str, threads: int, settings: Mapping[str, Any]) -> None:
    """Set up TensorFlow for one job; called before any network is built.

    Args:
        device: `auto`, `cpu` or `gpu`.
        threads: CPU threads of the job.
        settings: the config's `training`, of which are used: `precision`, `tf32` (float32 whose matrix products are
            computed in TensorFloat-32, on Ampere and later) or a Keras dtype policy; `seed` of Python's, NumPy's and
            TensorFlow's generators; `xla`. XLA has no deterministic form of some GPU operations: with it, two runs of
            one seed differ by rounding there.

    Raises:
        InputError: `gpu` is required and there is none.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cards = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not cards:
        raise InputError(
            "`gpu` is asked for (`training.device`, or --device) but TensorFlow finds no GPU on this node; request one from the scheduler, "
            "or set `auto` or `cpu`"
        )
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    else:
        for card in cards:
            tf.config.experimental.set_memory_growth(card, True)
    keras.utils.set_random_seed(settings["seed"])
    precision = settings["precision"]
    # By default TensorFlow computes float32 in TF32 on Ampere and later, with a mantissa of 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
    keras.config.set_dtype_policy("float32" if precision == "tf32" else precision)
    if not settings["xla"]:
        tf.config.experimental.enable_op_determinism()
