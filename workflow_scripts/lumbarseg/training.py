"""Training of networks and of stacking heads: one loop, resumable after every epoch, the same result from the same seed."""

import hashlib
import io
import json
import logging
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from lumbarseg.augmentation import draw_warps, warp
from lumbarseg.errors import InputError
from lumbarseg.files import whole
from lumbarseg.metrics import iou
from lumbarseg.patchset import PatchSet

logger = logging.getLogger("lumbarseg")

Features = Mapping[str, Any]
"""What learners see of a batch: tensors by name."""


def prepare_device(device: str, threads: int, precision: str, seed: int) -> None:
    """Set up TensorFlow for one job: device, threads, precision and determinism. Called before anything is built.

    Args:
        device: `auto`, `cpu` or `gpu`.
        threads: CPU threads of the job.
        precision: a Keras dtype policy: float32, mixed_float16, mixed_bfloat16.
        seed: for every generator of Python, NumPy and TensorFlow.

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
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    tf.config.experimental.enable_op_determinism()


@dataclass
class Learner:
    """Something with weights that learns to label pixels: a network, or a stacking head.

    Attributes:
        name: `UMD` or `E12+NAD`.
        network: ends with the layers `classifier` (1 × 1 convolution) and `scores` (softmax).
        optimiser: its own.
        inputs: the names of the features it takes, in the order of the network's inputs.
    """

    name: str
    network: keras.Model
    optimiser: keras.optimizers.Optimizer
    inputs: tuple[str, ...] = ("images",)

    def __post_init__(self) -> None:
        # The loss is taken from the classifier's output, for the logarithm of a softmax loses small scores.
        self._logits = keras.Model(self.network.inputs, self.network.get_layer("classifier").output)
        if keras.config.dtype_policy().name == "mixed_float16":
            self.optimiser = keras.mixed_precision.LossScaleOptimizer(self.optimiser)
        self.optimiser.build(self.network.trainable_variables)

    def logits(self, features: Features, training: bool) -> Any:
        """The classifier's output in float32, (batch, side, side, classes)."""
        inputs = [features[name] for name in self.inputs]
        return keras.ops.cast(self._logits(inputs if len(inputs) > 1 else inputs[0], training=training), "float32")

    @property
    def variables(self) -> list[Any]:
        """All that changes in training: weights, moving averages, the optimiser's state."""
        return [*self.network.variables, *self.optimiser.variables]


@dataclass(frozen=True)
class Schedule:
    """How long and on what terms to train: the config's `training`, or `stacking` for heads.

    Attributes:
        epochs: number of epochs.
        batch_size: patches a step.
        best_epoch_by: `accuracy` or `mean_iou` of the validation patches; the first epoch wins a tie (Section 5.3).
        augmentation: the config's `training.augmentation`.
        seed: of order and augmentation.
        background: id of the class left out of the mean IoU.
        class_names: in the order of their ids.
        xla: compile the steps with XLA.
    """

    epochs: int
    batch_size: int
    best_epoch_by: str
    augmentation: Mapping[str, Any]
    seed: int
    background: int
    class_names: Sequence[str]
    xla: bool = False

    @classmethod
    def of_config(
        cls, training: Mapping[str, Any], epochs: int, class_names: Sequence[str], background: int
    ) -> "Schedule":
        """Make a schedule from the config's `training`; heads differ in the number of epochs alone."""
        names = ("batch_size", "best_epoch_by", "augmentation", "seed", "xla")
        settings = {name: training[name] for name in names}
        return cls(epochs=epochs, class_names=class_names, background=background, **settings)


def see_images(images: Any) -> Features:
    """What a network sees of a batch: the patches themselves."""
    return {"images": images}


def fit(
    learners: Sequence[Learner],
    training: PatchSet,
    validation: PatchSet,
    schedule: Schedule,
    state_folder: Path,
    identity: Mapping[str, Any],
    see: Callable[[Any], Features] = see_images,
) -> dict[str, tuple[Path, pd.DataFrame]]:
    """Train learners side by side on the same batches and keep each one's best epoch (Sections 5.3 and 5.4).

    After every epoch all that is needed to go on is written to a folder named by a hash of `identity` and of the
    patches, so a job that was killed goes on from there, and one with other settings starts anew. The order of patches
    and the warps of an epoch depend only on the seed and the epoch's number.

    Args:
        learners: what is trained; each has its own optimiser and best epoch.
        training: patches that are learned from, augmented.
        validation: patches on which the best epoch is chosen.
        schedule: epochs, batch and so on.
        state_folder: where the state is kept; made if need be.
        identity: everything that defines this training, as JSON.
        see: turns warped patches into the features the learners take; frozen networks in the case of stacking heads.

    Returns:
        For each learner its best network (a `.keras` file in the state folder) and its history, one row an epoch:
        epoch, loss, accuracy, val_loss, val_accuracy, val_patch_iou, val_patch_iou_<class> (0 … 1, NaN where a class is
        absent), seconds, patches_per_second.
    """
    state = _State(state_folder, {**identity, "patches": [training.digest, validation.digest]}, learners)
    train_step, validate_step = _steps(learners, see, schedule)
    first = state.resume() + 1
    if first > 1:
        logger.info("going on from epoch %d, found in %s", first - 1, state.folder)
    for epoch in range(first, schedule.epochs + 1):
        started = time.perf_counter()
        trained = _train_epoch(train_step, training, schedule, epoch)
        waited = trained.pop("waited")
        validated = _validate(validate_step, validation, schedule, len(learners))
        seconds = time.perf_counter() - started
        speed = len(training) / seconds
        for place, learner in enumerate(learners):
            row = {
                "epoch": epoch,
                "loss": trained["loss"][place],
                "accuracy": trained["accuracy"][place],
                **validated[place],
                "seconds": round(seconds, 3),
                "patches_per_second": round(speed, 2),
            }
            state.add(learner, row, "val_accuracy" if schedule.best_epoch_by == "accuracy" else "val_patch_iou")
        state.save(epoch)
        last = state.histories[learners[0].name][-1]
        logger.info(
            "epoch %d/%d: loss %.4f, accuracy %.4f, validation loss %.4f, accuracy %.4f, patch IoU %.4f; %.1f patches/s, "
            "%.1f %% of the time waiting for data, %s left",
            epoch, schedule.epochs, last["loss"], last["accuracy"], last["val_loss"], last["val_accuracy"],
            last["val_patch_iou"], speed, 100 * waited / seconds, _duration(seconds * (schedule.epochs - epoch)),
        )  # fmt: skip
    return {
        learner.name: (state.best_file(learner), pd.DataFrame(state.histories[learner.name])) for learner in learners
    }


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def _steps(learners: Sequence[Learner], see: Callable[[Any], Features], schedule: Schedule) -> tuple[Any, Any]:
    """Make the two compiled functions of the loop."""
    classes = len(schedule.class_names)

    def entropy(labels: Any, logits: Any) -> Any:
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))

    @tf.function(jit_compile=schedule.xla, reduce_retracing=True)
    def train_step(images: Any, labels: Any, warps: Any) -> tuple[Any, Any]:
        images, labels = warp(images, labels, warps)
        features = see(images)
        losses, accuracies = [], []
        for learner in learners:
            variables = learner.network.trainable_variables
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([variable.value for variable in variables])
                logits = learner.logits(features, training=True)
                loss = entropy(labels, logits)
                scaled = learner.optimiser.scale_loss(loss)
            gradients = tape.gradient(scaled, [variable.value for variable in variables])
            learner.optimiser.apply(gradients, variables)
            losses.append(loss)
            hits = keras.ops.equal(keras.ops.argmax(logits, axis=-1), keras.ops.cast(labels, "int64"))
            accuracies.append(keras.ops.mean(keras.ops.cast(hits, "float32")))
        return tf.stack(losses), tf.stack(accuracies)

    @tf.function(jit_compile=schedule.xla, reduce_retracing=True)
    def validate_step(images: Any, labels: Any) -> tuple[Any, Any]:
        features = see(images)
        labels = keras.ops.cast(labels, "int32")
        losses, confusions = [], []
        for learner in learners:
            logits = learner.logits(features, training=False)
            losses.append(entropy(labels, logits))
            predicted = keras.ops.cast(keras.ops.argmax(logits, axis=-1), "int32")
            pairs = keras.ops.reshape(labels * classes + predicted, (-1,))
            confusions.append(tf.math.bincount(pairs, minlength=classes**2, maxlength=classes**2))
        return tf.stack(losses), tf.stack(confusions)

    return train_step, validate_step


def _ahead(batches: Sequence[NDArray[np.integer]], patches: PatchSet) -> Iterator[tuple[Any, Any, float]]:
    """Read the next batch while the present one is worked on; also say how long it was waited for."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(patches.read, batches[0])
        for following in [*batches[1:], None]:
            started = time.perf_counter()
            images, labels = coming.result()
            waited = time.perf_counter() - started
            if following is not None:
                coming = reader.submit(patches.read, following)
            yield images, labels, waited


def _batches(order: NDArray[np.integer], size: int) -> list[NDArray[np.integer]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _train_epoch(step: Any, patches: PatchSet, schedule: Schedule, epoch: int) -> dict[str, Any]:
    generator = np.random.default_rng([schedule.seed, epoch])
    order = generator.permutation(len(patches))
    losses, accuracies, weights, waiting = [], [], [], 0.0
    for images, labels, waited in _ahead(_batches(order, schedule.batch_size), patches):
        warps = draw_warps(generator, len(images), patches.side, schedule.augmentation)
        loss, accuracy = step(tf.constant(images), tf.constant(labels), tf.constant(warps))
        losses.append(loss.numpy())
        accuracies.append(accuracy.numpy())
        weights.append(len(images))
        waiting += waited
    return {
        "loss": np.average(losses, axis=0, weights=weights),
        "accuracy": np.average(accuracies, axis=0, weights=weights),
        "waited": waiting,
    }


def _validate(step: Any, patches: PatchSet, schedule: Schedule, learners: int) -> list[dict[str, float]]:
    classes = len(schedule.class_names)
    confusion = np.zeros((learners, classes**2), np.int64)
    losses, weights = [], []
    for images, labels, _ in _ahead(_batches(np.arange(len(patches)), schedule.batch_size), patches):
        loss, pairs = step(tf.constant(images), tf.constant(labels))
        losses.append(loss.numpy())
        weights.append(len(images))
        confusion += pairs.numpy()
    mean_loss = np.average(losses, axis=0, weights=weights)
    targets = [index for index in range(classes) if index != schedule.background]
    rows = []
    for place, counts in enumerate(confusion.reshape(learners, classes, classes)):
        common = np.diagonal(counts)
        per_class = iou(counts.sum(axis=1), counts.sum(axis=0), common)
        found = per_class[targets][~np.isnan(per_class[targets])]
        rows.append(
            {
                "val_loss": mean_loss[place],
                "val_accuracy": common.sum() / counts.sum(),
                "val_patch_iou": found.mean() if len(found) else np.nan,
                **{f"val_patch_iou_{name}": value for name, value in zip(schedule.class_names, per_class, strict=True)},
            }
        )
    return rows


class _State:
    """What a training needs to go on: variables, histories and best epochs, in one file that is replaced whole."""

    def __init__(self, parent: Path, identity: Mapping[str, Any], learners: Sequence[Learner]) -> None:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = parent / f"state-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._learners = learners
        self._file = self.folder / "state.npz"
        self.histories: dict[str, list[dict[str, Any]]] = {learner.name: [] for learner in learners}
        self._best: dict[str, dict[str, Any]] = {}

    def best_file(self, learner: Learner) -> Path:
        return self.folder / f"best-{learner.name}-epoch-{self._best[learner.name]['epoch']}.keras"

    def add(self, learner: Learner, row: dict[str, Any], criterion: str) -> None:
        """Add an epoch's row; keep the network if it is the best so far."""
        self.histories[learner.name].append(row)
        best = self._best.get(learner.name)
        # In the first epochs the criterion may be NaN or nothing; the first row is kept in any case.
        if best is None or row[criterion] > best["value"]:
            value = row[criterion] if np.isfinite(row[criterion]) else -np.inf
            self._best[learner.name] = {"epoch": row["epoch"], "value": float(value)}
            with whole(self.best_file(learner)) as temporary:
                learner.network.save(temporary)

    def save(self, epoch: int) -> None:
        """Write everything as of the end of an epoch; then best networks of earlier epochs may go."""
        record = {"epoch": epoch, "histories": self.histories, "best": self._best}
        content: dict[str, Any] = {"record": np.frombuffer(json.dumps(record, default=float).encode(), np.uint8)}
        for learner in self._learners:
            for number, variable in enumerate(learner.variables):
                content[f"{learner.name}/{number}"] = variable.value.numpy()
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        with whole(self._file) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        for learner in self._learners:
            for old in self.folder.glob(f"best-{learner.name}-epoch-*.keras"):
                if old != self.best_file(learner):
                    old.unlink()

    def resume(self) -> int:
        """Take up what an earlier job left; 0 if there is nothing, else the last finished epoch."""
        if not self._file.is_file():
            return 0
        try:
            with np.load(self._file, allow_pickle=False) as content:
                record = json.loads(bytes(content["record"]))
                for learner in self._learners:
                    for number, variable in enumerate(learner.variables):
                        variable.assign(content[f"{learner.name}/{number}"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self._file}: expected the state of an interrupted training, found a damaged file ({error}); remove "
                f"{self.folder} to train from the first epoch"
            ) from error
        self.histories, self._best = record["histories"], record["best"]
        return int(record["epoch"])
