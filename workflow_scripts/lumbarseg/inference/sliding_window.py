"""Sliding-window prediction: slices are stitched from patches, in row blocks; each network runs once for all models."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lumbarseg.atomic_io import read_json
from lumbarseg.data.storage import open_array
from lumbarseg.data.tiling import Tiling
from lumbarseg.errors import InputError
from lumbarseg.models.ensemble import Ensemble, features_of

logger = logging.getLogger("lumbarseg")


def initial_batch_size(batch_size: int) -> int:
    """Return the number of patches per forward pass: the batch size of training on a GPU, 1 on a CPU.

    One patch uses all cores of a CPU. A CPU process that runs out of memory is killed, so its batch could not be halved.
    """
    return batch_size if tf.config.list_logical_devices("GPU") else 1


def host_threads() -> ThreadPoolExecutor:
    """Return a thread pool that processes the scores of several models in parallel, with the job's number of threads."""
    return ThreadPoolExecutor(tf.config.threading.get_intra_op_parallelism_threads() or None)


class RowBlock:
    """The scores of every model for some rows of a slice.

    Attributes:
        number: index of the slice.
        rows: the rows in the slice; all columns.
    """

    def __init__(
        self, number: int, rows: slice, sums: Mapping[str, NDArray[np.float32]], coverage: NDArray[np.uint16]
    ) -> None:
        """Create a row block.

        Args:
            number: index of the slice.
            rows: the rows in the slice.
            sums: by model name, the sum of the patches' scores, float32; at least (rows, columns, classes), surplus rows and
                columns are ignored.
            coverage: number of patches that cover each pixel, (rows, columns).
        """
        self.number = number
        self.rows = rows
        self._sums = sums
        self._coverage = coverage[..., None].astype(np.float32)

    def scores(self, model: str) -> NDArray[np.float32]:
        """Return a model's scores, (rows, columns, classes) float32: the mean over overlapping patches (Section 4.3)."""
        rows, columns, _ = self._coverage.shape
        return self._sums[model][:rows, :columns] / self._coverage


class SlidingWindowPredictor:
    """Predicts the slices of sessions with all models of an ensemble; each network runs once per patch.

    Patches are processed in rows. The scores of each model are added to a strip with as many rows as a patch; the rows that
    no later patch covers are yielded as a row block and dropped. Memory holds the networks' outputs for one row of patches
    and one strip per model, never the scores of a whole slice.

    Attributes:
        ensemble: networks, models and meta-learners.
    """

    def __init__(self, ensemble: Ensemble, batch_size: int) -> None:
        """Compile the networks and models.

        Args:
            ensemble: networks, models and meta-learners.
            batch_size: maximum number of patches per forward pass; halved when the device runs out of memory.
        """
        self.ensemble = ensemble
        self._batch_size = batch_size
        # One function per network and model: in a single graph TensorFlow would keep the intermediate tensors of all of them
        # at once.
        compiled = partial(tf.function, reduce_retracing=True, autograph=False)
        self._forward = [compiled(partial(ensemble.forward_one, network)) for network in ensemble.networks]
        self._means = compiled(ensemble.means)
        self._scores_of = {model: compiled(partial(ensemble.scores_of, model)) for model in ensemble.models}

    def row_blocks(self, patches: Path) -> Iterator[RowBlock]:
        """Predict a session of a study.

        Args:
            patches: the session's `…_patches.json`.

        Returns:
            As `row_blocks_of`.

        Raises:
            InputError: as `row_blocks_of`.
        """
        description = read_json(patches)
        tiling = Tiling(description["rows"], description["columns"], description["side"], description["stride"])
        return self.row_blocks_of(open_array(patches.parent / description["images"]), description["slices"], tiling)

    def row_blocks_of(self, images: Any, slices: int, tiling: Tiling) -> Iterator[RowBlock]:
        """Predict a session, slice by slice and from top to bottom.

        Args:
            images: its patches, slice by slice: `images[i:j]` are arrays (count, side, side, channels) float32.
            slices: number of slices.
            tiling: of each slice.

        Yields:
            Row blocks that together cover every pixel of every slice once. The scores of a row block are valid until the
            next one is requested.

        Raises:
            InputError: the device runs out of memory with a single patch.
        """
        for number in range(slices):
            finished = 0
            while finished < tiling.rows:
                try:
                    for block in self._row_blocks_of_slice(images, number, tiling):
                        # After running out of memory the slice starts again; blocks that were already yielded are skipped.
                        if block.rows.start == finished:
                            yield block
                            finished = block.rows.stop
                except tf.errors.ResourceExhaustedError as error:
                    self._halve_batch(min(self._batch_size, len(tiling.columns_of_patches)), error)

    def _row_blocks_of_slice(self, images: Any, number: int, tiling: Tiling) -> Iterator[RowBlock]:
        shape = (tiling.side, tiling.padded[1], self.ensemble.classes)
        strips = {model.name: np.zeros(shape, np.float32) for model in self.ensemble.models}
        first = number * tiling.count
        with host_threads() as threads:
            for start, end in tiling.row_blocks:
                for place in range(0, len(tiling.columns_of_patches), self._batch_size):
                    columns = tiling.columns_of_patches[place : place + self._batch_size]
                    # The scores of one model are added to its strip while those of the next model are computed.
                    scores = self._scores(tf.constant(images[first : first + len(columns)]))
                    list(threads.map(partial(_add, columns), scores, strips.values()))
                    first += len(columns)
                yield RowBlock(number, slice(start, end), strips, tiling.coverage[start:end])
                list(threads.map(partial(_move_down, rows=end - start), strips.values()))

    def _scores(self, images: tf.Tensor) -> Iterator[tf.Tensor]:
        features: dict[str, tf.Tensor] = {}
        for forward in self._forward:
            features |= forward(images)
        means = self._means(features)
        for model, scores_of in self._scores_of.items():
            yield scores_of({name: features[name] for name in features_of(model)}, means.get(model.name))

    def _halve_batch(self, patches: int, error: tf.errors.ResourceExhaustedError) -> None:
        if patches == 1:
            raise InputError(
                f"out of memory with one patch, {len(self._forward)} networks and {len(self.ensemble.models)} models; use a "
                "GPU with more memory, or the CPU (`training.device: cpu`)"
            ) from error
        self._batch_size = patches // 2
        logger.info("out of memory with %d patches per forward pass; continuing with %d", patches, self._batch_size)


def _add(columns: tuple[int, ...], scores: tf.Tensor, strip: NDArray[np.float32]) -> None:
    """Add patches to a strip one by one, in order, so that the sums equal those of `tiling.stitch` bit for bit."""
    for patch, first in zip(scores.numpy(), columns, strict=True):
        strip[:, first : first + patch.shape[1]] += patch


def _move_down(strip: NDArray[np.float32], rows: int) -> None:
    """Drop the first rows of a strip, move the others up and fill the end with zeros."""
    left = len(strip) - rows
    strip[:left] = strip[rows:]
    strip[left:] = 0
