"""The training and validation steps: tasks side by side on the same batches, in one Keras model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lumbarseg.data.augmentation import warp
from lumbarseg.evaluation.metrics import iou
from lumbarseg.evaluation.partial_labels import merging_matrix
from lumbarseg.training.options import TrainingOptions
from lumbarseg.training.task import Features, TrainTask

Forward = Callable[[Any, Any], Features]
"""Computes the tasks' inputs from images (n, side, side, channels) and the number of their group."""


def forward_images(images: Any, group: Any) -> Features:
    """Return what networks take, whatever the group: the images themselves."""
    return {"images": images}


class MultiTaskModel(keras.Model):
    """Trains tasks side by side with Keras `fit`; each has its own optimiser, and none changes another's result.

    Steps return nothing of the device: Keras would copy it to the host in each step. The metrics stay on the device; they
    are read with `rows` after an epoch and set back with `reset` before one.
    """

    def __init__(self, tasks: Sequence[TrainTask], options: TrainingOptions, forward: Forward = forward_images) -> None:
        """Make the metrics; steps are traced, or compiled with XLA, in the first call.

        Args:
            tasks: what is trained.
            options: of the training.
            forward: computes the inputs of the tasks; runs the frozen networks in the case of meta-learners.
        """
        super().__init__()
        self.tasks = tuple(tasks)
        self._options = options
        self._forward = forward
        classes = len(options.class_names)
        self._known = PartialLabels(classes, options.unlabelled, options.background)
        self._mean_loss = TaskMean(len(tasks))
        self._mean_accuracy = TaskMean(len(tasks))
        self._mean_val_loss = TaskMean(len(tasks))
        self._confusion = TaskConfusion(len(tasks), classes)
        # XLA compiles neither the warp's projective transform nor the counting of pairs, so not the step as a whole.
        self._gradients = tf.function(self._gradients_of_part, jit_compile=options.xla)
        self._apply = tf.function(self.apply_gradients, jit_compile=options.xla)
        self.compile(jit_compile=False)
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """None that Keras resets: it does so before validation, when those of training have not been read yet."""
        return []

    def reset(self) -> None:
        """Set the metrics back."""
        for metric in (self._mean_loss, self._mean_accuracy, self._mean_val_loss, self._confusion):
            metric.reset_state()

    def train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Change all tasks' weights once."""
        images, labels = self.augment(batch)
        group = batch["groups"][0]
        complete = batch.get("complete", tf.zeros(tf.shape(labels)[:1], tf.bool))
        if self._options.gradient_accumulation_steps == 1:
            gradients = self._part(images, labels, complete, group, tf.constant(1.0))
        else:
            gradients = self._accumulated(images, labels, complete, group)
        self._apply(gradients)
        return {"step": tf.constant(0)}

    def augment(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the batch's images and labels, warped if it has warps; see `augmentation.warp`."""
        if "warps" not in batch:
            return batch["images"], keras.ops.cast(batch["labels"], "int32")
        return warp(batch["images"], batch["labels"], batch["warps"])

    def apply_gradients(self, gradients: Sequence[Sequence[Any]]) -> None:
        """Change each task's weights by its gradients."""
        for task, own in zip(self.tasks, gradients, strict=True):
            task.optimiser.apply(own, task.network.trainable_variables)

    def _accumulated(self, images: Any, labels: Any, complete: Any, group: Any) -> Any:
        """Return gradients of a batch whose parts are computed one after the other."""
        size = tf.shape(images)[0]
        parts = tf.minimum(self._options.gradient_accumulation_steps, size)

        def start(part: Any) -> Any:
            return part * (size // parts) + tf.minimum(part, size % parts)

        def add_part(part: Any, sums: Any) -> Any:
            some = slice(start(part), start(part + 1))
            share = tf.cast(some.stop - some.start, tf.float32) / tf.cast(size, tf.float32)
            own = self._part(images[some], labels[some], complete[some], group, share)
            return part + 1, tf.nest.map_structure(tf.add, sums, own)

        zeros = [[tf.zeros_like(variable) for variable in task.trainable] for task in self.tasks]
        return tf.while_loop(lambda part, _: part < parts, add_part, (0, zeros), parallel_iterations=1)[1]

    def _part(self, images: Any, labels: Any, complete: Any, group: Any, share: Any) -> Any:
        losses, accuracies, gradients = self._gradients(images, labels, complete, group, share)
        self._mean_loss.update_state(losses, tf.shape(images)[0])
        self._mean_accuracy.update_state(accuracies, tf.shape(images)[0])
        return gradients

    def _gradients_of_part(
        self, images: Any, labels: Any, complete: Any, group: Any, share: Any
    ) -> tuple[Any, Any, Any]:
        """Return losses (tasks,), accuracies (tasks,) and each task's gradients of its loss times `share`."""
        features = self._forward(images, group)
        losses, accuracies, gradients = [], [], []
        for task in self.tasks:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(task.trainable)
                logits = task.logits(features, training=True)
                loss = self._known.cross_entropy(labels, logits, complete)
                if self._options.dice_weight:
                    loss += self._options.dice_weight * self._known.soft_dice_loss(labels, logits, complete)
                scaled = task.optimiser.scale_loss(loss * share)
            gradients.append(tape.gradient(scaled, task.trainable))
            losses.append(loss)
            hits = keras.ops.equal(self._known.predicted(logits, complete), keras.ops.cast(labels, "int64"))
            accuracies.append(keras.ops.mean(keras.ops.cast(hits, "float32")))
        return tf.stack(losses), tf.stack(accuracies), gradients

    def test_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Count the pixels of each pair of true and predicted class, for all tasks."""
        labels = keras.ops.cast(batch["labels"], "int32")
        features = self._forward(batch["images"], batch["groups"][0])
        logits = [task.logits(features, training=False) for task in self.tasks]
        complete = tf.zeros(tf.shape(labels)[:1], tf.bool)
        losses = [self._known.cross_entropy(labels, one, complete) for one in logits]
        self._mean_val_loss.update_state(tf.stack(losses), tf.shape(labels)[0])
        self._confusion.update_state(labels, [self._known.predicted(one, complete) for one in logits])
        return {"step": tf.constant(0)}

    def rows(self) -> list[dict[str, float]]:
        """Return each task's metrics of the epoch, named as the columns of a history."""
        loss, accuracy, val_loss, confusions = (
            keras.ops.convert_to_numpy(metric.result())
            for metric in (self._mean_loss, self._mean_accuracy, self._mean_val_loss, self._confusion)
        )
        rows = []
        for place, confusion in enumerate(confusions):
            common = np.diagonal(confusion)
            per_class = iou(confusion.sum(axis=1), confusion.sum(axis=0), common)
            foreground = np.delete(per_class, self._options.background)
            found = foreground[~np.isnan(foreground)]
            rows.append(
                {
                    "loss": loss[place],
                    "accuracy": accuracy[place],
                    "val_loss": val_loss[place],
                    "val_accuracy": common.sum() / confusion.sum(),
                    "val_patch_iou": found.mean() if len(found) else np.nan,
                }
                | {
                    f"val_patch_iou_{name}": value
                    for name, value in zip(self._options.class_names, per_class, strict=True)
                }
            )
        return rows


class PartialLabels:
    """Loss and predictions where masks hold some classes only; those of complete masks if they hold all.

    A pixel that such a mask leaves unlabelled may be background or any class that the mask does not hold. The loss there is the
    negative logarithm of the summed probability of all of them (target adaptive loss: Fang X, Yan P, Multi-organ segmentation over
    partially labeled datasets with multi-scale feature abstraction, IEEE Transactions on Medical Imaging, 2020, doi
    10.1109/TMI.2020.3001036; marginal loss: Shi G et al., Marginal loss and exclusion loss for partially supervised multi-organ
    segmentation, Medical Image Analysis 70:101979, 2021).

    In all methods `labels` are (n, side, side) int32, `logits` (n, side, side, classes) float32, and `complete` (n,) bool marks
    patches whose labels hold all classes whatever the masks hold.
    """

    def __init__(self, classes: int, unlabelled: Sequence[int], background: int) -> None:
        """Note which classes masks hold.

        Args:
            classes: number of classes.
            unlabelled: ids of the classes that masks do not hold.
            background: id of the background.
        """
        self._partial, self._background = bool(unlabelled), background
        self._merging = merging_matrix(classes, unlabelled, background)
        self._merged_ids = self._merging.argmax(axis=1)
        self._merged = np.flatnonzero(self._merged_ids == background)

    def cross_entropy(self, labels: Any, logits: Any, complete: Any) -> Any:
        """Return the mean cross-entropy over pixels, a float32 scalar."""
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        if self._partial:
            of_any = keras.ops.logsumexp(keras.ops.take(logits, self._merged, axis=-1), axis=-1)
            unlabelled = keras.ops.equal(labels, self._background) & ~complete[:, None, None]
            losses = keras.ops.where(unlabelled, keras.ops.logsumexp(logits, axis=-1) - of_any, losses)
        return keras.ops.mean(losses)

    def soft_dice_loss(self, labels: Any, logits: Any, complete: Any) -> Any:
        """Return 1 minus the mean soft Dice over the classes in the batch, a float32 scalar (Milletari F et al., V-Net, 3DV 2016)."""
        scores = keras.ops.softmax(logits)
        if self._partial:
            merged = keras.ops.matmul(scores, self._merging)
            scores = keras.ops.where(complete[:, None, None, None], scores, merged)
        truth = keras.ops.one_hot(labels, logits.shape[-1], dtype="float32")
        common, true, found = (keras.ops.sum(one, axis=(0, 1, 2)) for one in (scores * truth, truth, scores))
        present = keras.ops.cast(true > 0, "float32")
        dice = (2.0 * common + 1.0) / (true + found + 1.0)
        return 1.0 - keras.ops.sum(dice * present) / keras.ops.maximum(keras.ops.sum(present), 1.0)

    def predicted(self, logits: Any, complete: Any) -> Any:
        """Return the predicted classes, (n, side, side) int64; classes that masks do not hold count as background."""
        found = keras.ops.cast(keras.ops.argmax(logits, axis=-1), "int64")
        if not self._partial:
            return found
        return keras.ops.where(complete[:, None, None], found, keras.ops.take(self._merged_ids, found))


class TaskMean(keras.metrics.Metric):
    """The mean over patches of one value per task, (tasks,) float64."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.total = self.add_variable((tasks,), "zeros", dtype="float64", name="total")
        self.patches = self.add_variable((), "zeros", dtype="float64", name="patches")

    def update_state(self, values: Any, patches: Any) -> None:
        """Add a batch's means, (tasks,), over a number of patches."""
        patches = keras.ops.cast(patches, "float64")
        self.total.assign_add(keras.ops.cast(values, "float64") * patches)
        self.patches.assign_add(patches)

    def result(self) -> Any:
        """Return the means."""
        return self.total / self.patches


class TaskConfusion(keras.metrics.Metric):
    """Pixels by true and predicted class, (tasks, classes, classes) int64.

    `keras.metrics.MeanIoU` counts in float32, which loses pixels above 16.7 million, some 250 patches.
    """

    def __init__(self, tasks: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.counts = self.add_variable((tasks, classes, classes), "zeros", dtype="int64", name="counts")

    def update_state(self, labels: Any, predicted: Sequence[Any]) -> None:
        """Add a batch: labels (n, side, side) int32 and each task's predicted classes, of the same shape."""
        pairs = self.classes**2
        counts = [
            tf.math.bincount(
                tf.reshape(labels * self.classes + tf.cast(one, tf.int32), (-1,)), minlength=pairs, maxlength=pairs
            )
            for one in predicted
        ]
        self.counts.assign_add(tf.reshape(tf.cast(tf.stack(counts), tf.int64), self.counts.shape))

    def result(self) -> Any:
        """Return the counts."""
        return self.counts.value
