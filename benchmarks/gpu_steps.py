"""A training step of every topology on a GPU, against the time that its operations take at the rate of a matrix product.

    python benchmarks/gpu_steps.py                                       with TensorFlow
    KERAS_BACKEND=jax python benchmarks/gpu_steps.py                     with JAX
    python benchmarks/gpu_steps.py --width 4 --side 64 --batch 2         to try it on a processor

Floor: 3 × 2 × multiply-accumulates × patches (forward and backward passes) at the rate of a large matrix product of the
same precision on the same device. Needs Keras, NumPy and PyYAML alone. Steps are compiled with XLA where it has the
operations, and with the optimiser of the config.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from measured import CLASSES, print_table, topologies

from lumbarseg.models.build import build_network, multiply_accumulates, optimiser


def done(tensor: Any) -> None:
    """Wait until a tensor is computed."""
    keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def timed(act: Callable[[], Any], count: int) -> float:
    """The median seconds of an action, after two calls that do not count."""
    seconds = []
    for number in range(count + 2):
        started = time.perf_counter()
        act()
        if number > 1:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def product_rate(precision: str, size: int) -> float:
    """Floating-point operations a second of a matrix product, ten in a row so that starting them does not count."""
    dtype = precision.removeprefix("mixed_")
    generator = np.random.default_rng(1)
    left, right = (keras.ops.cast(generator.normal(size=(size, size)).astype(np.float32), dtype) for _ in range(2))

    def products() -> None:
        tensor = left
        for _ in range(10):
            tensor = keras.ops.matmul(tensor, right) * (1 / size)
        done(tensor[0, 0])

    return 10 * 2 * size**3 / timed(products, 3)


def peak_memory() -> float | None:
    """Most GiB the device has held so far, where the backend tells."""
    if keras.backend.backend() == "jax":
        import jax

        statistics_of_device = jax.local_devices()[0].memory_stats() or {}
        return statistics_of_device.get("peak_bytes_in_use", 0) / 2**30 or None
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
            tf.config.experimental.reset_memory_stats("GPU:0")
            return peak
    return None


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--product", type=int, default=8192, help="side of the matrices of the product")
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_float16", "mixed_bfloat16"])
    parser.add_argument("--topologies", nargs="+", default=list(topologies()))
    options = parser.parse_args()
    generator = np.random.default_rng(1)
    images = generator.normal(size=(options.batch, options.side, options.side, 2)).astype(np.float32)
    labels = generator.integers(0, CLASSES, (options.batch, options.side, options.side))
    rates = {precision: product_rate(precision, options.product) for precision in options.precisions}
    print(
        f"Keras {keras.__version__} on {keras.backend.backend()}; m = {options.width}, {options.batch} patches of {options.side}²;",
        end=" ",
    )
    print("matrix products: " + ", ".join(f"{name} {rate / 1e12:.3g} T/s" for name, rate in rates.items()) + "\n")
    rows = []
    for name in options.topologies:
        for precision in options.precisions:
            keras.backend.clear_session(free_memory=True)
            keras.config.set_dtype_policy(precision)
            entry = topologies()[name]
            network = build_network(
                entry, side=options.side, channels=2, classes=CLASSES, base_filters=options.width, seed=1, name=name
            )
            network.compile(
                optimizer=optimiser(entry), loss=keras.losses.SparseCategoricalCrossentropy(), jit_compile=True
            )
            try:
                seconds = timed(lambda network=network: done(network.train_on_batch(images, labels)), options.steps)
            except Exception as error:  # whatever a backend raises where memory runs out
                rows.append((name, precision, type(error).__name__, "", "", ""))
                continue
            operations = 3 * 2 * multiply_accumulates(network) * options.batch / rates[precision]
            rows.append(
                (
                    name,
                    precision,
                    1e3 * seconds,
                    1e3 * operations,
                    seconds / operations,
                    peak_memory() or "not reported",
                )
            )
    print_table(["topology", "precision", "step, ms", "operations, ms", "step / operations", "peak GiB so far"], rows)


if __name__ == "__main__":
    main()
