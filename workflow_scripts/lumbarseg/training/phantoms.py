"""Phantoms to train on: every sample is drawn while the network trains, easy ones first, randomised ones later."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbarseg.atomic_io import digest
from lumbarseg.data.dataset import PatchSet
from lumbarseg.errors import InputError
from lumbarseg.synthesis.samples import SampleShape, draw_sample
from lumbarseg.synthesis.tissue_slices import STORED_PIXEL_MM, count_pixels, stems
from lumbarseg.training.batches import TrainingBatches
from lumbarseg.training.options import TrainingOptions


class PhantomSet:
    """Samples of stored phantoms as one list, like `data.dataset.PatchSet`; each epoch has others.

    Attributes:
        side: rows and columns of a sample.
        channels: number of contrasts.
        digest: changes whenever a sample does.
        groups: zeros, (samples,) int64.
    """

    def __init__(
        self, phantoms: Sequence[Path], slices: int, shape: SampleShape, *, samples: int, seed: int,
        easy_epochs: int = 0, strength: float = 1.0, pixel_sizes: tuple[float, float] | None = None,
    ) -> None:  # fmt: skip
        """Describe the samples.

        Args:
            phantoms: stems of the files to draw from, see `tissue_slices.write_phantom`.
            slices: of each phantom.
            shape: of a sample.
            samples: per epoch.
            seed: of the samples.
            easy_epochs: epochs of phantoms as they are, after which randomisation grows over as many epochs to its full strength.
            strength: of the randomisation in the end, 0 … 1.
            pixel_sizes: least and greatest pixel size (mm) of samples, drawn for each; by default that of `shape`.
        """
        self._stems, self._slices, self._shape = list(phantoms), slices, shape
        self._seed, self._easy, self._strength = seed, easy_epochs, strength
        self._pixel_sizes = pixel_sizes
        self.side, self.channels = shape.side, len(shape.contrasts)
        self.groups = np.zeros(samples, np.int64)
        described = [
            [digest(Path(f"{stem}_{part}.b2nd")) for stem in self._stems for part in ("weights", "structures")],
            slices,
            asdict(shape),
            samples,
            seed,
            easy_epochs,
            strength,
            pixel_sizes,
        ]
        self.digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()
        self._epoch = 0

    def __len__(self) -> int:
        return len(self.groups)

    def start_epoch(self, epoch: int) -> None:
        """Draw other samples from now on."""
        self._epoch = epoch

    def pixels(self, classes: int) -> NDArray[np.int64]:
        """Count the pixels of each class in the slices of a few phantoms: (classes,) int64."""
        return sum((count_pixels(stem, classes) for stem in self._stems[:8]), np.zeros(classes, np.int64))

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Draw some samples of the epoch: images (n, side, side, channels) float32, labels (n, side, side) uint8."""
        drawn = [self.draw(self._epoch, int(index)) for index in indices]
        return np.stack([images for images, _ in drawn]), np.stack([labels for _, labels in drawn])

    def draw(self, epoch: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Draw a sample of an epoch: images (side, side, channels) float32, labels (side, side) uint8."""
        # Streams of the order of batches and of random contrasts have other last numbers; see `training.batches`.
        generator = np.random.default_rng([self._seed, epoch, index, 2])
        stem = self._stems[int(generator.integers(len(self._stems)))]
        slice_index = int(generator.integers(self._slices))
        grown = (epoch - self._easy) / max(self._easy, 1)
        strength = self._strength * float(np.clip(grown, 0.0, 1.0)) if self._easy else self._strength
        shape = self._shape
        if self._pixel_sizes:
            shape = replace(shape, pixel_mm=float(generator.uniform(*self._pixel_sizes)))
        return draw_sample(stem, slice_index, shape, strength, generator)


class PhantomBatches(TrainingBatches):
    """Batches of an epoch's samples, each sample drawn by one of several threads."""

    def __init__(self, patches: PhantomSet, options: TrainingOptions, threads: int = 2) -> None:
        """Make the batches of the first epoch."""
        self._drawers = ThreadPoolExecutor(threads)
        self._phantoms = patches
        super().__init__(patches, options)

    def start_epoch(self, epoch: int) -> None:
        """Draw the samples of an epoch, counted from 1."""
        self._phantoms.start_epoch(epoch)
        super().start_epoch(epoch)

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        """Return a batch: images, labels and groups; samples are placed at random already, so there are no warps."""
        batch = super().__getitem__(index)
        del batch["warps"]
        return batch

    def _read(self, index: int) -> Future[Any]:
        parts = [self._drawers.submit(self._patches.read, [sample]) for sample in self._batches[index]]

        def join() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
            images, labels = zip(*(part.result() for part in parts), strict=True)
            return np.concatenate(images), np.concatenate(labels)

        return self._reader.submit(join)


def phantoms_of_study(
    folders: Sequence[str],
    training: Sequence[str],
    channels: Sequence[str],
    settings: Mapping[str, Any] | None,
    seed: int,
) -> PhantomSet | None:
    """Return the phantoms to mix into the patches of a study, at its patch size and its pixel sizes.

    Args:
        folders: of stored phantoms, see `tissue_slices.write_phantom`.
        training: the patch files of training.
        channels: contrasts of the images, in their order.
        settings: of the config's `starter`: slices, and pixel_size_mm, that of samples if the patches' descriptions do not state
            theirs. None if no phantoms are to be mixed in.
        seed: of the samples.

    Raises:
        InputError: there are no phantoms.
    """
    if settings is None:
        return None
    found, patches = stems(folders), PatchSet(training)
    if not found:
        raise InputError(f"{', '.join(map(str, folders))}: no phantoms found; delete these folders and run again")
    shape = SampleShape(tuple(channels), patches.side, settings["pixel_size_mm"], STORED_PIXEL_MM)
    return PhantomSet(
        found, settings["slices"], shape, samples=len(patches), seed=seed, pixel_sizes=patches.pixel_sizes
    )
