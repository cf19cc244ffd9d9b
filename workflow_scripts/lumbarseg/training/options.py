"""The options of a training: how long, in which steps, and which epoch is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lumbarseg.config.history import MONITOR_COLUMNS
from lumbarseg.config.model_sections import Augmentation


@dataclass(frozen=True)
class TrainingOptions:
    """Options of one training of networks or meta-learners.

    Attributes:
        epochs: number of epochs.
        batch_size: patches per step.
        monitor: `accuracy` or `mean_iou` of the validation patches; the first epoch wins a tie (Section 5.3).
        augmentation: the config's `training.augmentation`.
        seed: seed of the patches' order and of the augmentation.
        background: id of the class left out of the mean IoU.
        class_names: in the order of their ids.
        gradient_accumulation_steps: parts of a batch that are computed one after the other, to save memory; the step is
            made with the mean of their gradients.
        xla: compile the steps with XLA.
        batch_statistics: `moving` or `recomputed`; see `batch_statistics`.
        dice_weight: weight of the soft Dice loss next to cross-entropy.
        unlabelled: ids of the classes that masks do not hold; see `model.PartialLabels`.
    """

    epochs: int
    batch_size: int
    monitor: str
    augmentation: Augmentation
    seed: int
    background: int
    class_names: Sequence[str]
    gradient_accumulation_steps: int = 1
    xla: bool = False
    batch_statistics: str = "moving"
    dice_weight: float = 0.0
    unlabelled: Sequence[int] = ()

    @classmethod
    def from_settings(
        cls,
        training: Mapping[str, Any],
        epochs: int,
        class_names: Sequence[str],
        background: int,
        unlabelled: Sequence[int] = (),
    ) -> "TrainingOptions":
        """Make options from the config's `training`; meta-learners have a number of epochs of their own."""
        keys = (
            "batch_size",
            "gradient_accumulation_steps",
            "monitor",
            "augmentation",
            "seed",
            "xla",
            "batch_statistics",
        )
        chosen = {key: training[key] for key in keys}
        chosen["augmentation"] = Augmentation.model_validate(chosen["augmentation"])
        return cls(
            epochs=epochs, class_names=class_names, background=background, unlabelled=tuple(unlabelled), **chosen
        )

    @property
    def monitored_column(self) -> str:
        """The history's column whose greatest value marks the best epoch."""
        return MONITOR_COLUMNS[self.monitor]

    @property
    def patches_in_memory(self) -> int:
        """Patches of the largest part of a batch."""
        return -(-self.batch_size // self.gradient_accumulation_steps)
