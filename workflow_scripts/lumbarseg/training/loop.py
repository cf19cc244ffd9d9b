"""The training loop: training tasks side by side on the same batches, each with its own optimiser and best epoch."""

import logging
import time
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

from lumbarseg.config.schema import Augmentation
from lumbarseg.data.augmentation import draw_warps, warp
from lumbarseg.data.dataset import PatchSet
from lumbarseg.errors import InputError
from lumbarseg.evaluation.metrics import iou
from lumbarseg.training.checkpoint import State
from lumbarseg.training.task import Features, TrainingOptions, TrainTask, forward_images
from lumbarseg.training.tensorboard import TensorBoardLogger

logger = logging.getLogger("lumbarseg")

LOST_AFTER = 20
"""Epochs at an IoU of 0 after which a class is warned of."""


class DivergedError(InputError):
    """The loss of a training task is not a number any more.

    Attributes:
        histories: of the training tasks, as `fit` gives them, up to the epoch before.
    """

    def __init__(self, sentence: str, histories: Mapping[str, pd.DataFrame]) -> None:
        super().__init__(sentence)
        self.histories = histories


def fit(
    tasks: Sequence[TrainTask],
    training: PatchSet,
    validation: PatchSet,
    schedule: TrainingOptions,
    state_folder: Path,
    identity: Mapping[str, Any],
    forward: Callable[[Any, int], Features] = forward_images,
    events: Path | None = None,
) -> dict[str, tuple[Path, pd.DataFrame]]:
    """Train training tasks side by side on the same batches and keep each one's best epoch (Sections 5.3 and 5.4).

    After every epoch all that is needed to go on is written to a folder named by a hash of `identity` and of the
    patches, so a job that was killed goes on from there, and one with other settings starts anew. The order of patches
    and the warps of an epoch depend only on the seed and the epoch's number.

    Args:
        tasks: what is trained; each has its own optimiser and best epoch.
        training: patches that are learned from, augmented.
        validation: patches on which the best epoch is chosen.
        schedule: epochs, batch and so on.
        state_folder: where the state is kept; made if need be.
        identity: everything that defines this training, as JSON.
        forward: turns warped patches into the features the training tasks take; frozen networks in the case of meta-learners. It is
            also given the group of the patches, which all patches of a batch share.
        events: where TensorBoard's event files go; none are written without it.

    Returns:
        For each training task its best network (a `.keras` file in the state folder) and its history, one row an epoch:
        epoch, loss, accuracy, val_loss, val_accuracy, val_patch_iou, val_patch_iou_<class> (0 … 1, NaN where a class is
        absent), seconds, patches_per_second.

    Raises:
        InputError: patches or state are damaged, or the device's memory does not hold a part of a batch.
        DivergedError: a loss is not finite. In either case the epochs so far are kept.
    """
    state = State(state_folder, {**identity, "patches": [training.digest, validation.digest]}, tasks)
    steps = compile_steps(tasks, schedule, forward)
    _warn_of_absent_classes(training, validation, schedule.class_names)
    first = state.resume() + 1
    if first > 1:
        logger.info("going on from epoch %d, found in %s", first - 1, state.folder)
    curves = TensorBoardLogger(events, state.histories)
    for epoch in range(first, schedule.epochs + 1):
        started = time.perf_counter()
        try:
            trained = _train_epoch(steps, training, schedule, epoch)
            _require_finite(trained["loss"], tasks, epoch, state)
            waited = trained.pop("waited")
            validated = _validate(steps, validation, schedule, len(tasks))
            # The last step of an epoch may have ruined the weights, and what labels all as background can look accurate.
            _require_finite(np.array([row["val_loss"] for row in validated]), tasks, epoch, state)
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            part = -(-schedule.batch_size // schedule.gradient_accumulation_steps)
            raise InputError(
                f"{', '.join(task.name for task in tasks)}: expected {part} patches at a time to fit into the "
                f"device's memory, found that they do not; raise `training.gradient_accumulation_steps` (it is {schedule.gradient_accumulation_steps}), or take "
                "mixed precision (`training.precision`) or a larger card; finished epochs are kept"
            ) from error
        seconds = time.perf_counter() - started
        speed = len(training) / seconds
        for place, task in enumerate(tasks):
            row = {
                "epoch": epoch,
                "loss": trained["loss"][place],
                "accuracy": trained["accuracy"][place],
                **validated[place],
                "seconds": round(seconds, 3),
                "patches_per_second": round(speed, 2),
            }
            state.add(task, row, schedule.criterion)
        state.save(epoch)
        for task in tasks:
            curves.write(task.name, state.histories[task.name][-1])
            _warn_of_lost_classes(task.name, state.histories[task.name], schedule.class_names)
        last = state.histories[tasks[0].name][-1]
        logger.info(
            "epoch %d/%d: loss %.4f, accuracy %.4f, validation loss %.4f, accuracy %.4f, patch IoU %.4f; %.1f patches/s, "
            "%.1f %% of the time waiting for data, %s left",
            epoch, schedule.epochs, last["loss"], last["accuracy"], last["val_loss"], last["val_accuracy"],
            last["val_patch_iou"], speed, 100 * waited / seconds, _duration(seconds * (schedule.epochs - epoch)),
        )  # fmt: skip
    return {task.name: (state.best_file(task), pd.DataFrame(state.histories[task.name])) for task in tasks}


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


# ---- what is told of a training that goes wrong ----------------------------------------------------------------------


def _require_finite(losses: NDArray[np.floating], tasks: Sequence[TrainTask], epoch: int, state: State) -> None:
    diverged = [task.name for task, loss in zip(tasks, losses, strict=True) if not np.isfinite(loss)]
    if diverged:
        raise DivergedError(
            f"{', '.join(diverged)}: expected a finite loss in epoch {epoch}, found {losses[~np.isfinite(losses)][0]}; lower "
            "the learning rate of its topology (or of `stacking`), or take `precision: float32`; the epochs before are kept",
            {name: pd.DataFrame(history) for name, history in state.histories.items()},
        )


def _warn_of_absent_classes(training: PatchSet, validation: PatchSet, class_names: Sequence[str]) -> None:
    for patches, subset, consequence in (
        (training, "training", "no network can learn it"),
        (validation, "validation", "it has no say in the choice of an epoch, nor a threshold of its own"),
    ):
        absent = [
            name for name, pixels in zip(class_names, patches.pixels(len(class_names)), strict=True) if not pixels
        ]
        if absent:
            logger.warning(
                "the fold's %s patches: expected every class, found no pixel of %s in %d patches; %s; look at the masks, or "
                "deal patients otherwise (`split.seed`, `split.stratify`)",
                subset, ", ".join(absent), len(patches), consequence,
            )  # fmt: skip


def _warn_of_lost_classes(name: str, history: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> None:
    """Warn of classes of no IoU for `LOST_AFTER` epochs, at the end of the first such stretch and never again."""
    columns = [f"val_patch_iou_{class_name}" for class_name in class_names]
    stretches = (pd.DataFrame(history, columns=columns) == 0).rolling(LOST_AFTER).sum() == LOST_AFTER
    lost = [
        class_name
        for class_name, column in zip(class_names, columns, strict=True)
        if stretches[column].iloc[-1] and stretches[column].sum() == 1
    ]
    if lost:
        logger.warning(
            "%s: expected every class to be found, found an IoU of 0 for %s on the validation patches of the last %d "
            "epochs; see whether the masks hold enough of it, or try another optimiser or learning rate",
            name, ", ".join(lost), LOST_AFTER,
        )  # fmt: skip


# ---- an epoch ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Steps:
    """The compiled functions of the loop.

    Attributes:
        move: (images, labels, warps) → warped images and labels; see `augmentation.warp`.
        learn: (images, labels, share of the batch, group) → losses (training tasks,), accuracies (training tasks,) and each training task's
            gradients, which are those of its loss times the share.
        update: (gradients) → nothing; changes the weights.
        judge: (images, labels, group) → losses (training tasks,) and confusion matrices (training tasks, classes²).
    """

    move: Callable[..., Any]
    learn: Callable[..., Any]
    update: Callable[..., Any]
    judge: Callable[..., Any]


def compile_steps(
    tasks: Sequence[TrainTask], schedule: TrainingOptions, forward: Callable[[Any, int], Features] = forward_images
) -> Steps:
    """Make the functions of the loop; they are traced, or compiled with XLA, when they are first called."""
    classes = len(schedule.class_names)

    def entropy(labels: Any, logits: Any) -> Any:
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))

    @tf.function(jit_compile=schedule.xla, reduce_retracing=True)
    def learn(images: Any, labels: Any, share: Any, group: int = 0) -> tuple[Any, Any, Any]:
        features = forward(images, group)
        losses, accuracies, gradients = [], [], []
        for task in tasks:
            variables = [variable.value for variable in task.network.trainable_variables]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                logits = task.logits(features, training=True)
                loss = entropy(labels, logits)
                scaled = task.optimiser.scale_loss(loss * share)
            gradients.append(tape.gradient(scaled, variables))
            losses.append(loss)
            hits = keras.ops.equal(keras.ops.argmax(logits, axis=-1), keras.ops.cast(labels, "int64"))
            accuracies.append(keras.ops.mean(keras.ops.cast(hits, "float32")))
        return tf.stack(losses), tf.stack(accuracies), gradients

    @tf.function(jit_compile=schedule.xla)
    def update(gradients: Any) -> None:
        for task, own in zip(tasks, gradients, strict=True):
            task.optimiser.apply(own, task.network.trainable_variables)

    # XLA knows neither the counting of pairs nor the warp's projective transform.
    @tf.function(reduce_retracing=True)
    def judge(images: Any, labels: Any, group: int = 0) -> tuple[Any, Any]:
        features = forward(images, group)
        labels = keras.ops.cast(labels, "int32")
        losses, confusions = [], []
        for task in tasks:
            logits = task.logits(features, training=False)
            losses.append(entropy(labels, logits))
            predicted = keras.ops.cast(keras.ops.argmax(logits, axis=-1), "int32")
            pairs = keras.ops.reshape(labels * classes + predicted, (-1,))
            confusions.append(tf.math.bincount(pairs, minlength=classes**2, maxlength=classes**2))
        return tf.stack(losses), tf.stack(confusions)

    return Steps(tf.function(warp, reduce_retracing=True), learn, update, judge)


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


def _batches_of_groups(
    generator: np.random.Generator, groups: NDArray[np.integer], size: int
) -> list[NDArray[np.integer]]:
    """Batches of patches in random order, each of one group, in random order."""
    order = generator.permutation(len(groups))
    present = np.unique(groups)
    if len(present) == 1:
        return _batches(order, size)
    batches = [batch for group in present for batch in _batches(order[groups[order] == group], size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def _train_epoch(steps: Steps, patches: PatchSet, schedule: TrainingOptions, epoch: int) -> dict[str, Any]:
    generator = np.random.default_rng([schedule.seed, epoch])
    batches = _batches_of_groups(generator, patches.groups, schedule.batch_size)
    losses, accuracies, weights, waiting = [], [], [], 0.0
    for batch, (images, labels, waited) in zip(batches, _ahead(batches, patches), strict=True):
        warps = draw_warps(generator, len(images), patches.side, Augmentation.model_validate(schedule.augmentation))
        gradients = None
        for part in np.array_split(np.arange(len(images)), min(schedule.gradient_accumulation_steps, len(images))):
            share = tf.constant(len(part) / len(images), tf.float32)
            moved = steps.move(*(tf.constant(whole[part]) for whole in (images, labels, warps)))
            loss, accuracy, own = steps.learn(*moved, share, int(patches.groups[batch[0]]))
            gradients = own if gradients is None else tf.nest.map_structure(tf.add, gradients, own)
            losses.append(loss.numpy())
            accuracies.append(accuracy.numpy())
            weights.append(len(part))
        steps.update(gradients)
        waiting += waited
    return {
        "loss": np.average(losses, axis=0, weights=weights),
        "accuracy": np.average(accuracies, axis=0, weights=weights),
        "waited": waiting,
    }


def _validate(steps: Steps, patches: PatchSet, schedule: TrainingOptions, tasks: int) -> list[dict[str, float]]:
    classes = len(schedule.class_names)
    confusion = np.zeros((tasks, classes**2), np.int64)
    losses, weights = [], []
    size = -(-schedule.batch_size // schedule.gradient_accumulation_steps)
    batches = [
        batch
        for group in np.unique(patches.groups)
        for batch in _batches(np.flatnonzero(patches.groups == group), size)
    ]
    for batch, (images, labels, _) in zip(batches, _ahead(batches, patches), strict=True):
        loss, pairs = steps.judge(tf.constant(images), tf.constant(labels), int(patches.groups[batch[0]]))
        losses.append(loss.numpy())
        weights.append(len(images))
        confusion += pairs.numpy()
    mean_loss = np.average(losses, axis=0, weights=weights)
    targets = [index for index in range(classes) if index != schedule.background]
    rows = []
    for place, counts in enumerate(confusion.reshape(tasks, classes, classes)):
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
