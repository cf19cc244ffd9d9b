"""Batches of patients in which phantoms take the place of some patches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lumbarseg.config import published
from lumbarseg.data.dataset import PatchSet
from lumbarseg.errors import InputError
from lumbarseg.training.batches import TrainingBatches
from lumbarseg.training.options import TrainingOptions


class Samples(Protocol):
    """What samples are drawn from: a `phantoms.PhantomSet`.

    It is not imported, because a change of the phantom would then retrain the meta-learners, too.
    """

    digest: str

    def draw(self, epoch: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Draw a sample of an epoch: images (side, side, channels) float32, labels (side, side) uint8."""


IDENTITY_WARP = np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32)
"""The warp that changes nothing; see `augmentation.warp`."""


class MixedBatches(TrainingBatches):
    """Batches of patients in which phantoms take the place of a share of the patches; the number of batches stays."""

    def __init__(
        self, patches: PatchSet, options: TrainingOptions, *, phantoms: Samples, share: float, threads: int = 2
    ) -> None:
        """Make the batches of the first epoch.

        Args:
            patches: of patients.
            options: of the training.
            phantoms: drawn from seed, epoch and place in the epoch.
            share: of each batch, rounded to whole patches, 0 … 1.
            threads: that draw samples.

        Raises:
            InputError: the study has classes that phantoms do not have.
        """
        self._phantoms, self._share = phantoms, share
        self._ids = ids_of_phantoms(options.class_names, options.background)
        self._drawers = ThreadPoolExecutor(threads)
        super().__init__(patches, options)

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        """Return a batch with its warps, none for phantoms, and `complete` (n,) bool, true for phantoms, which know all classes."""
        batch = super().__getitem__(index)
        complete = self._places(len(batch["images"]))
        warps = np.where(complete[:, None], IDENTITY_WARP, batch["warps"])
        return batch | {"warps": warps, "complete": complete}

    def _content(
        self, epoch: int, index: int, patches: NDArray[np.integer]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        places = self._places(len(patches))
        first = index * self._options.batch_size
        coming = [
            self._drawers.submit(self._phantoms.draw, epoch, first + int(place)) for place in np.flatnonzero(places)
        ]
        kept, kept_labels = super()._content(epoch, index, patches[~places])
        images = np.empty((len(patches), *kept.shape[1:]), np.float32)
        labels = np.empty((len(patches), *kept_labels.shape[1:]), np.uint8)
        images[~places], labels[~places] = kept, kept_labels
        for place, one in zip(np.flatnonzero(places), coming, strict=True):
            image, ids = one.result()
            images[place], labels[place] = image, self._ids[ids]
        return images, labels

    def _places(self, patches: int) -> NDArray[np.bool_]:
        """Return which patches of a batch are phantoms: evenly spread, so that each part of an accumulated gradient has both."""
        return np.diff(np.arange(patches + 1) * phantoms_per_batch(self._share, patches) // patches) > 0


def phantoms_per_batch(share: float, patches: int) -> int:
    """Return how many patches of a batch are phantoms at a share (0 … 1)."""
    return round(share * patches)


def ids_of_phantoms(class_names: Sequence[str], background: int) -> NDArray[np.uint8]:
    """Return a study's class id for each class of phantoms, (12,) uint8; background for those that the study does not have.

    Raises:
        InputError: the study has a class that phantoms do not have.
    """
    known = published.class_names()
    unknown = [name for number, name in enumerate(class_names) if name not in known and number != background]
    if unknown:
        raise InputError(
            f"config: `training.phantom_share` needs classes that phantoms have, and they have no {', '.join(unknown)}; set it to 0, "
            f"or name classes as the phantom does ({', '.join(known[1:])})"
        )
    ids = {name: number for number, name in enumerate(class_names) if number != background}
    return np.array([ids.get(name, background) for name in known], np.uint8)
