"""What a job computes on: the device, its threads, the precision, and determinism."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from lumbarseg.errors import InputError


def prepare_device(device: str, threads: int, settings: Mapping[str, Any]) -> None:
    """Set up TensorFlow for one job: device, threads, precision and determinism. Called before anything is built.

    Args:
        device: `auto`, `cpu` or `gpu`.
        threads: CPU threads of the job.
        settings: the config's `training`, of which `precision` (a Keras dtype policy), `seed` (of Python's, NumPy's and
            TensorFlow's generators) and `xla` are used. XLA has no deterministic form of some operations on a GPU; with it
            two runs of one seed differ by rounding there.

    Raises:
        InputError: a GPU is insisted on and there is none.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cards = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not cards:
        raise InputError(
            "config, training.device: expected a GPU for `gpu`, found none that TensorFlow can use on this node; ask the "
            "scheduler for one, or set `auto` or `cpu`"
        )
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    else:
        for card in cards:
            tf.config.experimental.set_memory_growth(card, True)
    keras.utils.set_random_seed(settings["seed"])
    keras.config.set_dtype_policy(settings["precision"])
    if not settings["xla"]:
        tf.config.experimental.enable_op_determinism()
