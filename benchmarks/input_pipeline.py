"""How fast patches are read and warped, how long a training step waits for them, and what memory the whole study's take.

python benchmarks/input_pipeline.py              (eight minutes; 9 GiB in $TMPDIR)
"""

import json
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import CLASSES, SIDE, in_child, print_table, schedule, topologies, write_sessions

THREADS, BATCH = 2, 20
SESSIONS, PATCHES = 181, 122  # 22,082 patches: 12 slices a session and 10.2 patches a slice (docs/readings.md)


def prepared() -> Any:
    """TensorFlow as a job sets it up."""
    from lumbarseg.training.device import prepare_device

    prepare_device("cpu", THREADS, {"precision": "float32", "seed": 1, "xla": False})


def alone(folder: str) -> dict[str, float]:
    """Patches a second: reading one batch ahead, then with the warp as well."""
    import tensorflow as tf

    from lumbarseg.data.augmentation import draw_warps, warp
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.training.loop import _ahead, _batches

    prepared()
    patches = PatchSet(sorted(Path(folder).glob("*_patches.json")))
    batches = _batches(np.random.default_rng(1).permutation(len(patches)), BATCH)
    found = {}
    move, settings = tf.function(warp, reduce_retracing=True), schedule().augmentation
    generator = np.random.default_rng(1)

    def moved(images: Any, labels: Any) -> None:
        warps = tf.constant(draw_warps(generator, len(images), SIDE, settings))
        move(tf.constant(images), tf.constant(labels), warps)[1].numpy()

    for name, use in (("read", lambda images, labels: None), ("read and warped", moved)):
        for _turn in (0, 1):
            started = time.perf_counter()
            for images, labels, _ in _ahead(batches, patches):
                use(images, labels)
            found[name] = len(patches) / (time.perf_counter() - started)
    return found


def share(folder: str, width: str) -> dict[str, float]:
    """Share of an epoch of U1 that is spent waiting for data."""
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.models.build import build_network, optimiser
    from lumbarseg.training.loop import _train_epoch, compile_steps
    from lumbarseg.training.task import TrainTask

    prepared()
    entry = topologies()["U1"]
    # At m = 64 two patches a step, or an epoch would take an hour; the share does not depend on it.
    plan = schedule(batch_size=2 if int(width) == 64 else BATCH)
    descriptions = sorted(Path(folder).glob("*_patches.json"))
    patches = PatchSet(descriptions[:1] if int(width) == 64 else descriptions)
    network = build_network(entry, side=SIDE, channels=2, classes=CLASSES, base_filters=int(width), seed=1, name="U1")
    steps = compile_steps([TrainTask("U1", network, optimiser(entry))], plan)
    for epoch in (1, 2):
        started = time.perf_counter()
        waited = _train_epoch(steps, patches, plan, epoch)["waited"]
        seconds = time.perf_counter() - started
    return {"waited": waited / seconds, "patches": len(patches) / seconds}


def memory(folder: str, *only_first: str) -> dict[str, float]:
    """Most resident memory (MiB, anonymous and of files) while all patches are read and warped once, in random order."""
    import tensorflow as tf

    from lumbarseg.data.augmentation import draw_warps, warp
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.training.loop import _ahead, _batches

    prepared()
    most = {"RssAnon": 0, "RssFile": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
                name, _, value = line.partition(":")
                if name in most:
                    most[name] = max(most[name], int(value.split()[0]) // 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    descriptions = sorted(Path(folder).glob("*_patches.json"))
    patches = PatchSet(descriptions[:1] if only_first else descriptions)
    order = np.random.default_rng(1).permutation(len(patches))[: BATCH if only_first else None]
    move, settings = tf.function(warp, reduce_retracing=True), schedule().augmentation
    generator = np.random.default_rng(1)
    for images, labels, _ in _ahead(_batches(order, BATCH), patches):
        warps = tf.constant(draw_warps(generator, len(images), SIDE, settings))
        move(tf.constant(images), tf.constant(labels), warps)[1].numpy()
    over.set()
    watcher.join()
    return {**most, "patches": len(order), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def main() -> None:
    """Measure and print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        write_sessions(Path(folder), 4, 120)
        speed = in_child(__file__, "alone", folder)
        shares = {width: in_child(__file__, "share", folder, width) for width in ("64", "8")}
    print_table(["480 patches, two threads", "patches/s"], list(speed.items()))
    print()
    rows = [(f"U1, m = {width}", one["patches"], 100 * one["waited"], 3) for width, one in shares.items()]
    print_table(["training", "patches/s", "waiting for data, %", "goal, below"], rows)
    print()
    with tempfile.TemporaryDirectory() as folder:
        write_sessions(Path(folder), SESSIONS, PATCHES)
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**30
        few, all_of_them = in_child(__file__, "memory", folder, "first"), in_child(__file__, "memory", folder)
    rows = [(one["patches"], one["RssAnon"], one["RssFile"], one["peak"]) for one in (few, all_of_them)]
    rows.append(("difference (goal: below 4096)", *(b - a for a, b in zip(rows[0][1:], rows[1][1:], strict=True))))
    print(f"{size:.1f} GiB on disk\n")
    print_table(["patches of 256 × 256 × 2", "own memory, MiB", "of mapped files, MiB", "most at a time, MiB"], rows)


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if len(sys.argv) > 1:
        print(json.dumps({"alone": alone, "share": share, "memory": memory}[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
