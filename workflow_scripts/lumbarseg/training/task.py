"""What is trained, and on what terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

Features = Mapping[str, Any]
"""What training tasks see of a batch: tensors by name."""


@dataclass
class TrainTask:
    """Something with weights that learns to label pixels: a network, or a meta-learner.

    Attributes:
        name: `UMD` or `E12+NAD`.
        network: ends with the layers `classifier` (1 × 1 convolution) and `scores` (softmax).
        optimiser: its own.
        inputs: the names of the features it takes, in the order of the network's inputs.
        passport: what is written into the network's file, see `networks.passport`.
    """

    name: str
    network: keras.Model
    optimiser: keras.optimizers.Optimizer
    inputs: tuple[str, ...] = ("images",)
    metadata: Mapping[str, Any] = field(default_factory=dict)

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
class TrainingOptions:
    """How long and on what terms to train: the config's `training`, or `stacking` for meta-learners.

    Attributes:
        epochs: number of epochs.
        batch_size: patches a step.
        gradient_accumulation_steps: into how many parts a batch is split, one after the other in memory; their gradients are added up.
        monitor: `accuracy` or `mean_iou` of the validation patches; the first epoch wins a tie (Section 5.3).
        augmentation: the config's `training.augmentation`.
        seed: of order and augmentation.
        background: id of the class left out of the mean IoU.
        class_names: in the order of their ids.
        xla: compile the steps with XLA.
    """

    epochs: int
    batch_size: int
    monitor: str
    augmentation: Mapping[str, Any]
    seed: int
    background: int
    class_names: Sequence[str]
    gradient_accumulation_steps: int = 1
    xla: bool = False

    @classmethod
    def from_config(
        cls, training: Mapping[str, Any], epochs: int, class_names: Sequence[str], background: int
    ) -> "TrainingOptions":
        """Make a schedule from the config's `training`; meta-learners differ in the number of epochs alone."""
        names = ("batch_size", "gradient_accumulation_steps", "monitor", "augmentation", "seed", "xla")
        settings = {name: training[name] for name in names}
        return cls(epochs=epochs, class_names=class_names, background=background, **settings)

    @property
    def criterion(self) -> str:
        """The column of the history whose greatest value marks the epoch that is kept."""
        return {"accuracy": "val_accuracy", "mean_iou": "val_patch_iou"}[self.monitor]


def forward_images(images: Any, group: int) -> Features:
    """What a network sees of a batch, of whatever group: the patches themselves."""
    return {"images": images}
