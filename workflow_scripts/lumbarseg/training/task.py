"""A train task: a network or meta-learner with its optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

Features = Mapping[str, Any]
"""The inputs of the tasks' networks: tensors by name."""


@dataclass
class TrainTask:
    """A network or meta-learner to be trained to label pixels.

    Attributes:
        name: `UMD` or `E12+NAD`.
        network: ends with the layers `classifier` (1 × 1 convolution) and `scores` (softmax).
        optimiser: its own.
        inputs: names of the features it takes, in the order of the network's inputs.
        metadata: written into the network's file, see `models.metadata`.
    """

    name: str
    network: keras.Model
    optimiser: keras.optimizers.Optimizer
    inputs: tuple[str, ...] = ("images",)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The loss is computed from the classifier's output: the logarithm of a softmax loses small scores.
        self._logits = keras.Model(self.network.inputs, self.network.get_layer("classifier").output)
        if keras.config.dtype_policy().name == "mixed_float16":
            self.optimiser = keras.mixed_precision.LossScaleOptimizer(self.optimiser)
        self.optimiser.build(self.network.trainable_variables)

    def logits(self, features: Features, training: bool) -> Any:
        """Return the classifier's output, (batch, side, side, classes) float32."""
        inputs = [features[name] for name in self.inputs]
        return keras.ops.cast(self._logits(inputs if len(inputs) > 1 else inputs[0], training=training), "float32")

    @property
    def trainable(self) -> list[Any]:
        """The TensorFlow variables that the optimiser changes."""
        return [variable.value for variable in self.network.trainable_variables]

    @property
    def variables(self) -> list[Any]:
        """All variables that training changes: weights, moving averages, the optimiser's state."""
        return [*self.network.variables, *self.optimiser.variables]
