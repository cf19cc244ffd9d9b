"""What a training pays before its first step, and what an epoch pays for saving its state.

python benchmarks/training_overhead.py
"""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measured import CLASSES, SIDE, in_child, medians, print_table, topologies, training_options, write_sessions

# When the parent started this process: Python's own start counts.
STARTED = float(os.environ.get("STARTED", "0"))


def job(topology: str, width: str, folder: str) -> dict[str, float]:
    """Seconds of each part of a job, from the start of Python to the end of its first step, then of saving."""
    import pandas  # noqa: F401
    import tensorflow as tf

    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.models.build import build_network, optimiser
    from lumbarseg.training.checkpoint import Checkpoint
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.model import MultiTaskModel
    from lumbarseg.training.task import TrainTask

    parts = {"start and imports": time.time() - STARTED}

    def part(name: str) -> None:
        parts[name] = time.time() - STARTED - sum(parts.values())

    logging.disable(logging.WARNING)
    prepare_device("cpu", 2, {"precision": "float32", "seed": 1, "xla": False})
    entry = topologies()[topology]
    network = build_network(
        entry, side=SIDE, channels=2, classes=CLASSES, base_filters=int(width), seed=1, name=topology
    )
    task = TrainTask(topology, network, optimiser(entry))
    part("building")
    patches = PatchSet(sorted(Path(folder).glob("*_patches.json")))
    part("opening patches")
    train_step = tf.function(MultiTaskModel([task], training_options(batch_size=1)).train_step)
    images, labels = patches.read([0])
    unmoved = np.array([[1, 0, 0, 0, 1, 0, 0, 0]], np.float32)
    batch = {"images": images, "labels": labels, "warps": unmoved, "groups": np.zeros(1, np.int64)}
    checkpoint = Checkpoint(Path(folder), {"base_filters": width, "topology": topology}, [task])

    def step() -> None:
        train_step({name: tf.constant(value) for name, value in batch.items()})["step"].numpy()

    step()
    part("tracing and first step")
    started = time.perf_counter()
    step()
    parts["tracing and first step"] -= time.perf_counter() - started  # what is left is tracing
    row = {"epoch": 0, "loss": 1.0, "val_accuracy": 0.0}

    def record(better: float) -> None:
        row["epoch"] += 1
        row["val_accuracy"] += better
        checkpoint.record_epoch([row], "val_accuracy")

    record(1e-3)
    saved = medians({"best": lambda: record(1e-3), "other": lambda: record(0.0)}, 3)
    size = sum(file.stat().st_size for file in checkpoint.folder.iterdir()) / 2**20
    return parts | {f"save {name} epoch": seconds for name, seconds in saved.items()} | {"MiB": size}


def main() -> None:
    """Measure and print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_sessions(Path(folder), 1, 4)
        for topology, width in (("U1", "8"), ("U1", "64"), ("FCN", "64")):
            in_child(__file__, topology, width, folder)  # files come into the page cache
            parts = in_child(__file__, topology, width, folder, STARTED=str(time.time()))
            before = [
                parts[name] for name in ("start and imports", "building", "opening patches", "tracing and first step")
            ]
            rows.append(
                (
                    f"{topology}, m = {width}",
                    *before,
                    sum(before),
                    parts["save other epoch"],
                    parts["save best epoch"],
                    parts["MiB"],
                )
            )
    headings = [
        "",
        "start and imports, s",
        "building",
        "opening patches",
        "tracing",
        "before the first step",
        "saving an epoch, s",
        "saving a best epoch, s",
        "MiB on disk",
    ]
    print_table(headings, rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(job(*sys.argv[1:])))
    else:
        main()
