"""Batch statistics of networks, recomputed on plain patches.

The moving averages of batch normalisation lag behind weights that still change, and are those of augmented patches. Averages over
training patches as they are describe what the network meets when it is used.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lumbarseg.data.dataset import PatchSource
from lumbarseg.training.task import TrainTask

MOST_PATCHES = 64
"""Patches that the statistics are averaged over, if there are so many: evenly spaced in the training set."""


class RecomputedStatistics(keras.callbacks.Callback):
    """Replaces the moving averages of all tasks' networks before each validation; training itself does not use them."""

    def __init__(self, tasks: Sequence[TrainTask], patches: PatchSource, batch_size: int) -> None:
        """Choose the patches.

        Args:
            tasks: whose networks are changed.
            patches: of training.
            batch_size: patches per batch.
        """
        super().__init__()
        count = min(MOST_PATCHES, len(patches))
        chosen = np.linspace(0, len(patches) - 1, count).astype(int)
        self._patches = patches
        batches = max(1, count // batch_size)
        # As in training, a batch holds patches of many patients.
        self._batches = [chosen[first::batches] for first in range(batches)]
        # Meta-learners have no batch normalisation.
        self._averages = [average for average in (StatisticsAverage(task.network) for task in tasks) if average.layers]

    def on_test_begin(self, logs: Any = None) -> None:
        """Replace the averages."""
        for batch in self._batches if self._averages else ():
            images = tf.constant(self._patches.read(batch)[0])
            for average in self._averages:
                average.add(images)
        for average in self._averages:
            average.apply()


class StatisticsAverage:
    """Means and variances of a network's batch normalisation, averaged over batches.

    Attributes:
        layers: of batch normalisation.
    """

    def __init__(self, network: keras.Model) -> None:
        """Start with no batch."""
        self._network = network
        self.layers = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        self._forward = tf.function(lambda images: network(images, training=True), reduce_retracing=True)
        self._sums: list[Any] = []
        self._batches = 0

    def add(self, images: Any) -> None:
        """Add the statistics of a batch of images, (n, side, side, channels) float32."""
        momenta = [layer.momentum for layer in self.layers]
        # Without momentum the moving averages are those of the batch.
        for layer in self.layers:
            layer.momentum = 0.0
        self._forward(images)
        for layer, momentum in zip(self.layers, momenta, strict=True):
            layer.momentum = momentum
        values = [variable.numpy().astype(np.float64) for variable in self._variables]
        self._sums = [total + value for total, value in zip(self._sums, values, strict=True)] if self._sums else values
        self._batches += 1

    def apply(self) -> None:
        """Set the network's moving averages to those of the batches added since the last call."""
        for variable, total in zip(self._variables, self._sums, strict=True):
            variable.assign(total / self._batches)
        self._sums, self._batches = [], 0

    @property
    def _variables(self) -> list[Any]:
        return [variable.value for layer in self.layers for variable in (layer.moving_mean, layer.moving_variance)]
