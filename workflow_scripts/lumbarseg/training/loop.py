"""Training with Keras `fit`: tasks side by side, resumable after every epoch, the best epoch kept."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lumbarseg.data.dataset import PatchSource
from lumbarseg.errors import InputError
from lumbarseg.training.batch_statistics import RecomputedStatistics
from lumbarseg.training.batches import TrainingBatches, ValidationBatches
from lumbarseg.training.checkpoint import Checkpoint
from lumbarseg.training.model import Forward, MultiTaskModel, forward_images
from lumbarseg.training.options import TrainingOptions
from lumbarseg.training.task import TrainTask
from lumbarseg.training.tensorboard import TensorBoardLogger

logger = logging.getLogger("lumbarseg")

LOST_AFTER = 20
"""Epochs at an IoU of 0 after which a class is warned of."""


class DivergedError(InputError):
    """The loss of a task is not finite.

    Attributes:
        histories: by task, as `fit` returns them, up to the epoch before.
    """

    def __init__(self, sentence: str, histories: Mapping[str, pd.DataFrame]) -> None:
        super().__init__(sentence)
        self.histories = histories


def fit(
    tasks: Sequence[TrainTask],
    training: PatchSource,
    validation: PatchSource,
    options: TrainingOptions,
    state_folder: Path,
    identity: Mapping[str, Any],
    forward: Forward = forward_images,
    events: Path | None = None,
    batches_of: Callable[[Any, TrainingOptions], TrainingBatches] = TrainingBatches,
) -> dict[str, tuple[Path, pd.DataFrame]]:
    """Train tasks side by side on the same batches and keep each one's best epoch (Sections 5.3 and 5.4).

    The state is saved after every epoch, in a folder named by a hash of `identity` and of the patches: a job that was killed
    continues from there, and one with other settings starts from the first epoch.

    Args:
        tasks: what is trained; each has its own optimiser and best epoch.
        training: patches to learn from, augmented.
        validation: patches on which the best epoch is chosen.
        options: epochs, batch size and so on.
        state_folder: where the state is saved; made if it does not exist.
        identity: everything that defines this training, as JSON.
        forward: computes the inputs of the tasks from images and their group; see `model.MultiTaskModel`.
        events: folder of TensorBoard's event files; none are written without it.
        batches_of: makes the training batches.

    Returns:
        For each task its best network (a `.keras` file in the state folder) and its history, one row per epoch: epoch, loss,
        accuracy, val_loss, val_accuracy, val_patch_iou, val_patch_iou_<class> (0 … 1, NaN where a class is absent), seconds,
        patches_per_second.

    Raises:
        InputError: patches or state are damaged, or memory does not hold a part of a batch; finished epochs are kept.
        DivergedError: a loss is not finite; epochs before are kept.
    """
    checkpoint = Checkpoint(state_folder, {**identity, "patches": [training.digest, validation.digest]}, tasks)
    _check_classes(training, validation, options)
    finished = checkpoint.restore()
    if finished:
        logger.info("continuing from epoch %d, found in %s", finished, checkpoint.folder)
    model = MultiTaskModel(tasks, options, forward)
    batches, held_out = batches_of(training, options), ValidationBatches(validation, options)
    callbacks = [
        EpochRecorder(checkpoint, batches, len(training), options),
        *(
            [RecomputedStatistics(tasks, training, options.patches_in_memory)]
            if options.batch_statistics == "recomputed"
            else []
        ),
        *([TensorBoardLogger(events, checkpoint.histories)] if events else []),
    ]
    try:
        # Keras would shuffle the batches again, by Python's generator.
        model.fit(
            batches, validation_data=held_out, initial_epoch=finished, epochs=options.epochs, shuffle=False,
            verbose=0, callbacks=callbacks,
        )  # fmt: skip
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        memory = "GPU memory" if tf.config.list_logical_devices("GPU") else "memory"
        raise InputError(
            f"{', '.join(task.name for task in tasks)}: out of {memory} with {options.patches_in_memory} patches per step; "
            f"increase `training.gradient_accumulation_steps` (now {options.gradient_accumulation_steps}), or use mixed precision "
            "(`training.precision`) or a larger GPU; finished epochs are kept"
        ) from error
    except tf.errors.OpError as error:
        raise batches.error or held_out.error or error from error
    return {task.name: (checkpoint.best_file(task), pd.DataFrame(checkpoint.histories[task.name])) for task in tasks}


class EpochRecorder(keras.callbacks.Callback):
    """Adds each epoch to the histories, saves the state, and logs a line."""

    def __init__(
        self, checkpoint: Checkpoint, batches: TrainingBatches, patches: int, options: TrainingOptions
    ) -> None:
        """Note where the state goes.

        Args:
            checkpoint: where epochs are recorded.
            batches: of training.
            patches: number of training patches.
            options: of the training.
        """
        super().__init__()
        self._checkpoint, self._batches, self._patches, self._options = checkpoint, batches, patches, options

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Draw the epoch's batches."""
        self._started = time.perf_counter()
        self._batches.start_epoch(epoch + 1)
        self.model.reset()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Note when the batch is needed."""
        self._batches.ask(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record and log the epoch.

        Raises:
            DivergedError: a loss is not finite.
        """
        rows = self.model.rows()
        tasks = [task.name for task in self.model.tasks]
        _require_finite(rows, tasks, epoch + 1, self._checkpoint)
        seconds = time.perf_counter() - self._started
        speed = {"seconds": round(seconds, 3), "patches_per_second": round(self._patches / seconds, 2)}
        rows = [{"epoch": epoch + 1} | row | speed for row in rows]
        self._checkpoint.record_epoch(rows, self._options.monitored_column)
        for name in tasks:
            _warn_of_lost_classes(name, self._checkpoint.histories[name], self._options.class_names)
        last = rows[0]
        logger.info(
            "epoch %d/%d: loss %.4f, accuracy %.4f, validation loss %.4f, accuracy %.4f, patch IoU %.4f; %.1f patches/s, "
            "%.1f %% of the time waiting for data, %s left",
            epoch + 1, self._options.epochs, last["loss"], last["accuracy"], last["val_loss"], last["val_accuracy"],
            last["val_patch_iou"], last["patches_per_second"], 100 * self._batches.seconds_waited / seconds,
            _duration(seconds * (self._options.epochs - epoch - 1)),
        )  # fmt: skip


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


# ---- problems of a training ------------------------------------------------------------------------------------------


def _require_finite(
    rows: Sequence[Mapping[str, Any]], tasks: Sequence[str], epoch: int, checkpoint: Checkpoint
) -> None:
    # The last step of an epoch may have ruined the weights, which validation alone shows. Such a network may look accurate:
    # it labels everything as background.
    losses = np.array([[row["loss"], row["val_loss"]] for row in rows])
    diverged = [name for name, pair in zip(tasks, losses, strict=True) if not np.isfinite(pair).all()]
    if diverged:
        raise DivergedError(
            f"{', '.join(diverged)}: the loss of epoch {epoch} is {losses[~np.isfinite(losses)][0]}; lower the learning rate of "
            "the topology (or of `stacking`), or use `precision: float32`; the epochs before are kept",
            {name: pd.DataFrame(history) for name, history in checkpoint.histories.items()},
        )


def _check_classes(training: PatchSource, validation: PatchSource, options: TrainingOptions) -> None:
    """Warn of classes without pixels; refuse pixels of classes that masks are said not to hold."""
    for patches, subset, consequence in (
        (training, "training", "no network can learn it"),
        (validation, "validation", "it counts neither in the choice of the best epoch nor in that of thresholds"),
    ):
        pixels = dict(enumerate(patches.pixels(len(options.class_names))))
        unlabelled = {number: pixels.pop(number) for number in options.unlabelled}
        if found := [options.class_names[number] for number, count in unlabelled.items() if count]:
            raise InputError(
                f"config: the masks hold pixels of {', '.join(found)}, which `partial_labels` does not name; add it there, or "
                "remove it from the masks (`values` of `classes`)"
            )
        absent = [options.class_names[number] for number, count in pixels.items() if not count]
        if absent:
            logger.warning(
                "%s patches of the fold: no pixel of %s in %d patches; %s; check the masks, or split the patients differently "
                "(`split.seed`, `split.stratify`)",
                subset, ", ".join(absent), len(patches), consequence,
            )  # fmt: skip


def _warn_of_lost_classes(name: str, history: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> None:
    """Warn of classes with an IoU of 0 for `LOST_AFTER` epochs, once, at the end of the first such stretch."""
    columns = [f"val_patch_iou_{class_name}" for class_name in class_names]
    stretches = (pd.DataFrame(history, columns=columns) == 0).rolling(LOST_AFTER).sum() == LOST_AFTER
    lost = [
        class_name
        for class_name, column in zip(class_names, columns, strict=True)
        if stretches[column].iloc[-1] and stretches[column].sum() == 1
    ]
    if lost:
        logger.warning(
            "%s: the validation IoU of %s was 0 in the last %d epochs; check that the masks hold enough of it, or try another "
            "optimiser or learning rate",
            name, ", ".join(lost), LOST_AFTER,
        )  # fmt: skip
