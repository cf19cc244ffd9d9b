"""Patches on disk: written session by session, read as one list."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lumbarseg.atomic_io import read_json, write_json
from lumbarseg.data.storage import open_array, write_array
from lumbarseg.data.tiling import Tiling, extract
from lumbarseg.errors import InputError


def write_patches(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    *,
    side: int,
    stride: int,
    background: int,
    description: Path,
    images_path: Path,
    labels_path: Path,
    pixel_size: float | None = None,
) -> int:
    """Cut a session's slices into patches and write them (Section 3.1.3).

    Patches are stored slice by slice, those of a slice in the order of `Tiling(rows, columns, side, stride).positions`.
    The `digest` in the description changes whenever an image or a label does.

    Args:
        images: (slices, rows, columns, channels) float32 z-scores, in sagittal view.
        labels: (slices, rows, columns) uint8 class ids.
        side: rows and columns of a patch, pixels.
        stride: largest step between patches, pixels.
        background: class id with which labels of slices smaller than a patch are padded.
        description: the JSON to write: slices, rows, columns, side, stride, pixel_size_mm, patches, pixels (of the patches, by
            class id), images, labels, digest.
        images_path: the array file to write, (patches, side, side, channels) float32; in the folder of `description`.
        labels_path: the array file to write, (patches, side, side) uint8; in the folder of `description`.
        pixel_size: of the slices, mm, if it is known.

    Returns:
        The number of patches.
    """
    slices, rows, columns, _ = images.shape
    tiling = Tiling(rows, columns, side, stride)
    write_array(images_path, np.concatenate([extract(image, tiling) for image in images]))
    label_patches = np.concatenate([extract(label, tiling, background) for label in labels])
    write_array(labels_path, label_patches)
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes() + np.ascontiguousarray(labels).tobytes()).hexdigest()
    content = {"slices": slices, "rows": rows, "columns": columns, "side": side, "stride": stride}
    content |= {
        "pixel_size_mm": pixel_size,
        "patches": slices * tiling.count,
        "pixels": np.bincount(label_patches.ravel()).tolist(),
        "images": images_path.name,
        "labels": labels_path.name,
        "digest": digest,
    }
    write_json(description, content)
    return slices * tiling.count


class PatchSource(Protocol):
    """What trainings read patches from: those of sessions (`PatchSet`), or samples of phantoms; see `PatchSet` for the meaning."""

    side: int
    channels: int
    digest: str
    groups: NDArray[np.int64]

    def __len__(self) -> int: ...

    def pixels(self, classes: int) -> NDArray[np.int64]:
        """Count the pixels of each class."""
        ...

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read images and labels."""
        ...


class PatchSet:
    """The patches of several sessions as one list, read from disk on demand.

    Attributes:
        side: rows and columns of a patch.
        channels: number of channels.
        digest: changes whenever a patch, a label or a group does.
        pixel_sizes: least and greatest pixel size of the sessions, mm; None if that of a session is not known.
        groups: the group of each patch, (patches,) int64; a batch holds patches of one group.
    """

    def __init__(self, descriptions: Sequence[str | Path], groups: Sequence[int] | None = None) -> None:
        """Open the patches of sessions.

        Args:
            descriptions: each session's `…_patches.json`, with images and labels next to it.
            groups: each session's group; group 0 for all by default.

        Raises:
            InputError: there are no sessions, or a file is missing or damaged.
        """
        if not descriptions:
            raise InputError("folds.tsv: no session in this subset of the fold; assign a patient to it")
        self._descriptions = [Path(description) for description in descriptions]
        self._images, self._labels, self._pixels, digests = [], [], [], []
        sizes = []
        for description in self._descriptions:
            content = read_json(description)
            self._pixels.append(content["pixels"])
            self._images.append(open_array(description.parent / content["images"]))
            self._labels.append(open_array(description.parent / content["labels"]))
            digests.append(content["digest"])
            sizes.append(content["pixel_size_mm"])
        if groups is not None:
            digests.append(str(list(groups)))
        self.digest = hashlib.sha256("".join(digests).encode()).hexdigest()
        self.side, self.channels = self._images[0].shape[1], self._images[0].shape[3]
        self.pixel_sizes = None if None in sizes else (min(sizes), max(sizes))
        lengths = [len(images) for images in self._images]
        self._ends = np.cumsum(lengths)
        self.groups = np.repeat(np.zeros(len(lengths), np.int64) if groups is None else np.asarray(groups), lengths)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def pixels(self, classes: int) -> NDArray[np.int64]:
        """Count the pixels of each class in all patches, repeatedly where patches overlap: (classes,) int64.

        Raises:
            InputError: a label is not one of the classes.
        """
        total = np.zeros(classes, np.int64)
        for description, counts in zip(self._descriptions, self._pixels, strict=True):
            if any(counts[classes:]):
                raise InputError(
                    f"{description}: label {len(counts) - 1} is not one of 0 … {classes - 1}; run `snakemake patch` again"
                )
            total[: len(counts)] += counts[:classes]
        return total

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read some patches.

        Args:
            indices: positions in the list, 0 … len − 1.

        Returns:
            Images (n, side, side, channels) float32 z-scores and labels (n, side, side) uint8.

        Raises:
            InputError: a patch contains values that are not finite, or is damaged.
        """
        images = np.empty((len(indices), self.side, self.side, self.channels), np.float32)
        labels = np.empty((len(indices), self.side, self.side), np.uint8)
        for place, index in enumerate(indices):
            session = int(np.searchsorted(self._ends, index, side="right"))
            within = int(index - (self._ends[session - 1] if session else 0))
            images[place] = self._images[session][within]
            labels[place] = self._labels[session][within]
            # The sum is finite only if all values are; this is the cheapest test.
            if not np.isfinite(images[place].sum()):
                raise InputError(
                    f"{self._descriptions[session]}: patch {within} has NaN or infinite values; delete this file and run "
                    "`snakemake patch` again, and check the session's images if it happens again"
                )
        return images, labels
