"""Batches of patches for Keras `fit`, read one ahead by a thread."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lumbarseg.data.augmentation import draw_warps, randomise_channels
from lumbarseg.data.dataset import PatchSource
from lumbarseg.errors import InputError
from lumbarseg.training.options import TrainingOptions

Indices = NDArray[np.integer]


class Batches(keras.utils.PyDataset):
    """Batches of patches; each is read while the one before it is computed on.

    The read-ahead of `tf.data` cannot be relied on: TensorFlow disables it where operations have to be deterministic.
    Patches of different groups never share a batch.

    Attributes:
        error: what made a batch unusable, if anything. TensorFlow reads batches in an operation, which hides the type.
    """

    def __init__(self, patches: PatchSource) -> None:
        """Make batches of patches; a subclass sets which."""
        super().__init__()
        self.error: InputError | None = None
        self._patches = patches
        self._batches: Sequence[Indices] = []
        self._reader = ThreadPoolExecutor(1)
        self._coming: dict[int, Future[Any]] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        """Return a batch: images (n, side, side, channels) float32, labels (n, side, side) uint8 and groups (n,) int64.

        Raises:
            InputError: a patch is damaged or not finite.
        """
        coming = self._coming.pop(index, None) or self._read(index)
        if index + 1 < len(self):
            self._coming[index + 1] = self._read(index + 1)
        try:
            images, labels = coming.result()
        except InputError as error:
            self.error = error
            raise
        return {"images": images, "labels": labels, "groups": self._patches.groups[self._batches[index]]}

    def _read(self, index: int) -> Future[Any]:
        return self._reader.submit(self._patches.read, self._batches[index])


class ValidationBatches(Batches):
    """All patches in their order, in batches of what memory has to hold at a time."""

    def __init__(self, patches: PatchSource, options: TrainingOptions) -> None:
        """Split the patches of each group into batches."""
        super().__init__(patches)
        self._batches = [
            batch
            for group in np.unique(patches.groups)
            for batch in _split(np.flatnonzero(patches.groups == group), options.patches_in_memory)
        ]


class TrainingBatches(Batches):
    """All patches in random order, with a random warp for each; both depend only on the seed and the epoch's number.

    If appearances are changed at random, the reader does it, from the seed, the epoch and the patch's number.
    """

    def __init__(self, patches: PatchSource, options: TrainingOptions) -> None:
        """Make the batches of the first epoch."""
        super().__init__(patches)
        self._options = options
        self.start_epoch(1)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order and the warps of an epoch, counted from 1."""
        self._epoch = epoch
        generator = np.random.default_rng([self._options.seed, epoch])
        self._batches = _shuffled(generator, self._patches.groups, self._options.batch_size)
        self._warps = [
            draw_warps(generator, len(batch), self._patches.side, self._options.augmentation) for batch in self._batches
        ]
        self._coming.clear()
        self._asked: dict[int, float] = {}
        self._read_from_to: dict[int, tuple[float, float]] = {}

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        """Return a batch with its warps (n, 8) float32; see `augmentation.warp`."""
        started = time.perf_counter()
        batch = super().__getitem__(index) | {"warps": self._warps[index]}
        self._read_from_to[index] = started, time.perf_counter()
        return batch

    def _read(self, index: int) -> Future[Any]:
        return self._reader.submit(self._content, self._epoch, index, self._batches[index])

    def _content(self, epoch: int, index: int, patches: Indices) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return images and labels of some patches of a batch of an epoch."""
        images, labels = self._patches.read(patches)
        contrast = self._options.augmentation.contrast
        if contrast:
            for place, patch in enumerate(patches):
                # Phantoms have streams that end with another number; see `training.phantoms`.
                generator = np.random.default_rng([self._options.seed, epoch, int(patch), 1])
                images[place] = randomise_channels(images[place], contrast, generator)
        return images, labels

    def ask(self, index: int) -> None:
        """Note that the loop needs a batch now."""
        self._asked[index] = time.perf_counter()

    @property
    def seconds_waited(self) -> float:
        """Seconds of this epoch in which the loop waited for a batch."""
        times = ((asked, *self._read_from_to[index]) for index, asked in self._asked.items())
        return sum(max(0.0, ready - max(asked, started)) for asked, started, ready in times)


def _split(order: Indices, size: int) -> list[Indices]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _shuffled(generator: np.random.Generator, groups: Indices, size: int) -> list[Indices]:
    """Return batches in random order of patches in random order, each of one group."""
    order = generator.permutation(len(groups))
    present = np.unique(groups)
    if len(present) == 1:
        return _split(order, size)
    batches = [batch for group in present for batch in _split(order[groups[order] == group], size)]
    return [batches[place] for place in generator.permutation(len(batches))]
