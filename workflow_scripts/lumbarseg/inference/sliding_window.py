"""Slices put together from patches, row block by row block: one forward pass of each network for all models."""

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
    """Give the most patches to run forward at a time: a training's batch on a GPU, one on the CPU.

    One patch keeps all cores of a CPU busy, and memory that runs out there ends the process without a word, so that the
    batch could not be halved in time.
    """
    return batch_size if tf.config.list_logical_devices("GPU") else 1


def host_threads() -> ThreadPoolExecutor:
    """Threads for what is done with the scores of models beside each other, as many as the job was given."""
    return ThreadPoolExecutor(tf.config.threading.get_intra_op_parallelism_threads() or None)


class RowBlock:
    """Rows of a slice that no later patch covers, with the scores of every model of the ensemble.

    Whatever is made of scores (labels, histograms) takes them here, model by model; the single networks are models too.

    Attributes:
        number: of the slice.
        rows: the row block's rows in the slice, all columns.
    """

    def __init__(
        self, number: int, rows: slice, sums: Mapping[str, NDArray[np.float32]], coverage: NDArray[np.uint16]
    ) -> None:
        """Hold a row block.

        Args:
            number: of the slice.
            rows: in the slice.
            sums: by model name, the summed scores of the patches (at least these rows and columns, classes) float32.
            coverage: how many patches cover each pixel, (rows, columns).
        """
        self.number = number
        self.rows = rows
        self._sums = sums
        self._coverage = coverage[..., None].astype(np.float32)

    def scores(self, model: str) -> NDArray[np.float32]:
        """A model's scores, (rows, columns, classes) float32: the overlap mean of the patches' (Section 4.3)."""
        rows, columns, _ = self._coverage.shape
        return self._sums[model][:rows, :columns] / self._coverage


class SlidingWindowPredictor:
    """Runs an ensemble over the slices of sessions: one forward pass of each network for all models.

    A row of patches at a time: each network runs forward alone, each model's scores are added to the model's strip of as
    many rows as a patch has, and the strip's finished rows are given out and dropped. So memory holds what the networks
    give for a row of patches and a strip for each model, never a slice of scores.
    """

    def __init__(self, ensemble: Ensemble, batch_size: int) -> None:
        """Compile the pass.

        Args:
            ensemble: networks, models and meta-learners.
            batch_size: most patches that run forward at a time; halved when the device's memory does not hold them.
        """
        self._ensemble = ensemble
        self._batch_size = batch_size
        # A function for each network and each model, for in one graph for all TensorFlow would keep the inner tensors of all
        # of them at once.
        compiled = partial(tf.function, reduce_retracing=True, autograph=False)
        self._forward = [compiled(partial(ensemble.forward_one, network)) for network in ensemble.networks]
        self._means = compiled(ensemble.means)
        self._finish = {model: compiled(partial(ensemble.scores_of, model)) for model in ensemble.models}

    def row_blocks(self, patches: Path) -> Iterator[RowBlock]:
        """Go through a session's slices, row block by row block from above.

        Args:
            patches: the session's `…_patches.json`.

        Yields:
            Bands that together are all pixels of all slices. A row block's scores can be taken until the next one is asked for.

        Raises:
            InputError: the device's memory does not hold one patch.
        """
        description = read_json(patches)
        tiling = Tiling(description["rows"], description["columns"], description["side"], description["stride"])
        images = open_array(patches.parent / description["images"])
        for number in range(description["slices"]):
            finished = 0
            while finished < tiling.rows:
                try:
                    for block in self._bands_of_slice(images, number, tiling):
                        # Where memory ran out halfway, the slice starts again; what was given out is not given out twice.
                        if block.rows.start == finished:
                            yield block
                            finished = block.rows.stop
                except tf.errors.ResourceExhaustedError as error:
                    self._take_fewer(min(self._batch_size, len(tiling.columns_of_patches)), error)

    def _bands_of_slice(self, images: Any, number: int, tiling: Tiling) -> Iterator[RowBlock]:
        shape = (tiling.side, tiling.padded[1], self._ensemble.classes)
        strips = {model.name: np.zeros(shape, np.float32) for model in self._ensemble.models}
        first = number * tiling.count
        with host_threads() as threads:
            for start, end in tiling.row_blocks:
                for place in range(0, len(tiling.columns_of_patches), self._batch_size):
                    columns = tiling.columns_of_patches[place : place + self._batch_size]
                    # Scores go into the strips while those of the next model are made.
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
        for model, finish in self._finish.items():
            yield finish({name: features[name] for name in features_of(model)}, means.get(model.name))

    def _take_fewer(self, patches: int, error: tf.errors.ResourceExhaustedError) -> None:
        if patches == 1:
            raise InputError(
                f"the ensemble: expected one patch to fit into the device's memory with {len(self._forward)} networks and "
                f"{len(self._ensemble.models)} models, found that it does not; take a larger card, or the CPU "
                "(`training.device: cpu`)"
            ) from error
        self._batch_size = patches // 2
        logger.info("memory does not hold %d patches at a time; going on with %d", patches, self._batch_size)


def _add(columns: tuple[int, ...], scores: tf.Tensor, strip: NDArray[np.float32]) -> None:
    """Add patches to a strip one by one, in their order, so that a sum is that of `patches.stitch` to the last bit."""
    for patch, first in zip(scores.numpy(), columns, strict=True):
        strip[:, first : first + patch.shape[1]] += patch


def _move_down(strip: NDArray[np.float32], rows: int) -> None:
    """Drop the first rows of a strip; those that follow take their place, and empty ones theirs."""
    left = len(strip) - rows
    strip[:left] = strip[rows:]
    strip[left:] = 0
