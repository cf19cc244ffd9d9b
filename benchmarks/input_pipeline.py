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

from measured import CLASSES, SIDE, in_child, print_table, topologies, training_options, write_sessions

THREADS, BATCH = 2, 20
SESSIONS, PATCHES = 181, 122  # 22,082 patches: 12 slices a session and 10.2 patches a slice (docs/readings.md)


def prepared() -> Any:
    """TensorFlow as a job sets it up."""
    from lumbarseg.training.device import prepare_device

    prepare_device("cpu", THREADS, {"precision": "float32", "seed": 1, "xla": False})


def alone(folder: str) -> dict[str, float]:
    """Patches a second: reading one batch ahead, then with the warp as well."""
    import tensorflow as tf

    from lumbarseg.data.augmentation import warp
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.training.batches import TrainingBatches

    prepared()
    patches = PatchSet(sorted(Path(folder).glob("*_patches.json")))
    batches = TrainingBatches(patches, training_options(batch_size=BATCH))
    found = {}
    augment = tf.function(warp, reduce_retracing=True)

    def warped(batch: dict[str, Any]) -> None:
        augment(*(tf.constant(batch[name]) for name in ("images", "labels", "warps")))[1].numpy()

    for name, use in (("read", lambda batch: None), ("read and warped", warped)):
        for _turn in (0, 1):
            started = time.perf_counter()
            batches.start_epoch(1)
            for number in range(len(batches)):
                use(batches[number])
            found[name] = len(patches) / (time.perf_counter() - started)
    return found


def share(folder: str, width: str) -> dict[str, float]:
    """Share of an epoch of U1 that is spent waiting for data."""
    import keras

    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.models.build import build_network, optimiser
    from lumbarseg.training.batches import TrainingBatches
    from lumbarseg.training.model import MultiTaskModel
    from lumbarseg.training.task import TrainTask

    prepared()
    entry = topologies()["U1"]
    # At m = 64 two patches a step, or an epoch would take an hour; the share does not depend on it.
    options = training_options(batch_size=2 if int(width) == 64 else BATCH)
    descriptions = sorted(Path(folder).glob("*_patches.json"))
    patches = PatchSet(descriptions[:1] if int(width) == 64 else descriptions)
    network = build_network(entry, side=SIDE, channels=2, classes=CLASSES, base_filters=int(width), seed=1, name="U1")
    model = MultiTaskModel([TrainTask("U1", network, optimiser(entry))], options)
    batches = TrainingBatches(patches, options)
    seconds = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            batches.start_epoch(epoch + 1)
            self.started = time.perf_counter()

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            batches.ask(batch)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds.append(time.perf_counter() - self.started)

    model.fit(batches, epochs=2, shuffle=False, verbose=0, callbacks=[Watch()])
    return {"waited": batches.seconds_waited / seconds[-1], "patches": len(patches) / seconds[-1]}


def memory(folder: str, *only_first: str) -> dict[str, float]:
    """Most resident memory (MiB, anonymous and of files) while all patches are read and warped once, in random order."""
    import tensorflow as tf

    from lumbarseg.data.augmentation import warp
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.training.batches import TrainingBatches

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
    batches = TrainingBatches(patches, training_options(batch_size=BATCH))
    augment = tf.function(warp, reduce_retracing=True)
    count = 1 if only_first else len(batches)
    for number in range(count):
        batch = batches[number]
        augment(*(tf.constant(batch[name]) for name in ("images", "labels", "warps")))[1].numpy()
    over.set()
    watcher.join()
    return {
        **most,
        "patches": min(count * BATCH, len(patches)),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure and print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        write_sessions(Path(folder), 4, 120)
        speed = in_child(__file__, "alone", folder)
        shares = {width: in_child(__file__, "share", folder, width) for width in ("64", "8")}
    print_table(["480 patches, two threads", "patches/s"], list(speed.items()))
    print()
    rows = [(f"U1, m = {width}", one["patches"], 100 * one["waited"]) for width, one in shares.items()]
    print_table(["training", "patches/s", "waiting for data, %"], rows)
    print()
    with tempfile.TemporaryDirectory() as folder:
        write_sessions(Path(folder), SESSIONS, PATCHES)
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**30
        few, all_of_them = in_child(__file__, "memory", folder, "first"), in_child(__file__, "memory", folder)
    rows = [(one["patches"], one["RssAnon"], one["RssFile"], one["peak"]) for one in (few, all_of_them)]
    rows.append(("difference", *(b - a for a, b in zip(rows[0][1:], rows[1][1:], strict=True))))
    print(f"{size:.1f} GiB on disk\n")
    print_table(["patches of 256 × 256 × 2", "own memory, MiB", "of mapped files, MiB", "most at a time, MiB"], rows)


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if len(sys.argv) > 1:
        print(json.dumps({"alone": alone, "share": share, "memory": memory}[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
