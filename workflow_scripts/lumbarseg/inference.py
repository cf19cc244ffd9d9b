"""The committee's pass over sessions: slices put together from patches, thresholds tuned, slices labelled and counted."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import blosc2
import keras
import nibabel as nib
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from lumbarseg.arrays import open_array
from lumbarseg.committee import Committee, features_of
from lumbarseg.errors import InputError
from lumbarseg.files import read_json, whole
from lumbarseg.geometry import codes_of, from_sagittal_view, load_image, sagittal_view, volume
from lumbarseg.labelling import THRESHOLDS
from lumbarseg.metrics import slice_counts
from lumbarseg.patches import Tiling
from lumbarseg.study import Model

logger = logging.getLogger("lumbarseg")


@dataclass(frozen=True)
class SessionFiles:
    """Where a session's patches and truth lie.

    Attributes:
        participant_id: the patient.
        session_id: the session.
        patches: `…_patches.json`, with the arrays beside it.
        mask: class ids on the T2w grid, NIfTI.
    """

    participant_id: str
    session_id: str
    patches: Path
    mask: Path

    @property
    def label(self) -> str:
        """The BIDS label, `sub-<p>_ses-<s>`."""
        return f"sub-{self.participant_id}_ses-{self.session_id}"


def session_files(
    identifiers: Sequence[tuple[str, str]], patches: Sequence[str], masks: Sequence[str]
) -> list[SessionFiles]:
    """Put together what lies in three lists of one order: (participant_id, session_id), patches, masks."""
    return [
        SessionFiles(participant, session, Path(description), Path(mask))
        for (participant, session), description, mask in zip(identifiers, patches, masks, strict=True)
    ]


def load_committee(
    models: Sequence[tuple[str, Sequence[str], str]],
    names: Sequence[str],
    networks: Sequence[str],
    heads: Sequence[str],
    classes: int,
) -> Committee:
    """Load a committee from `.keras` files.

    Args:
        models: (name, networks, combiner) of each model, as `study.Model` has them.
        names: the topologies of `networks`, in their order.
        networks: files of the fold's networks.
        heads: files of the stacked models' heads, in the order these stand in `models`.
        classes: number of classes of the label table.

    Raises:
        InputError: as `Committee`, or the networks were trained with another number of classes.
    """
    listed = [Model(name, tuple(members), combiner) for name, members, combiner in models]
    stacked = [model.name for model in listed if model.is_stacked]
    committee = Committee(
        {name: keras.models.load_model(path, compile=False) for name, path in zip(names, networks, strict=True)},
        listed,
        {name: keras.models.load_model(path, compile=False) for name, path in zip(stacked, heads, strict=True)},
    )
    if committee.classes != classes:
        raise InputError(
            f"{networks[0]}: expected a network for the {classes} classes of the config, found one for "
            f"{committee.classes}; train the networks anew, or give back the label table they were trained with"
        )
    return committee


def require_fitting(committee: Committee, sessions: Sequence[SessionFiles]) -> None:
    """Require that the networks take the patches of every session; nothing runs forward.

    Raises:
        InputError: patches of another side or number of channels.
    """
    for session in sessions:
        found = open_array(session.patches.parent / read_json(session.patches)["images"]).shape[1:]
        if tuple(found) != committee.patch:
            raise InputError(
                f"{session.patches}: expected patches of {_times(committee.patch)} (rows, columns, channels), which the "
                f"networks were trained on, found {_times(found)}; train the networks anew, or give back the `patches` and "
                "`channels` they were trained with"
            )


def read_truth(mask: Path) -> tuple[NDArray[np.uint8], nib.Nifti1Image]:
    """Read a mask in sagittal view, (slices, rows, columns) uint8, and its image for geometry."""
    image = load_image(mask)
    return sagittal_view(np.asarray(image.dataobj, dtype=np.uint8), image.affine), image


def patches_to_start_with(batch_size: int) -> int:
    """Give the most patches to run forward at a time: a training's batch on a GPU, one on the CPU.

    One patch keeps all cores of a CPU busy, and memory that runs out there ends the process without a word, so that the
    batch could not be halved in time.
    """
    return batch_size if tf.config.list_logical_devices("GPU") else 1


class Band:
    """Rows of a slice that no later patch covers, with the scores of every model of the committee.

    Whatever is made of scores (labels, histograms) takes them here, model by model; the single networks are models too.

    Attributes:
        number: of the slice.
        rows: the band's rows in the slice, all columns.
    """

    def __init__(self, number: int, rows: slice, sums: Mapping[str, tf.Tensor], overlaps: NDArray[np.uint16]) -> None:
        """Hold a band.

        Args:
            number: of the slice.
            rows: in the slice.
            sums: by model name, the summed scores of the patches (at least these rows and columns, classes) float32.
            overlaps: how many patches cover each pixel, (rows, columns).
        """
        self.number = number
        self.rows = rows
        self._sums = sums
        self._overlaps = tf.constant(overlaps[..., None], tf.float32)

    def scores(self, model: str) -> tf.Tensor:
        """A model's scores, (rows, columns, classes) float32 on the device: the overlap mean of the patches' (Section 4.3)."""
        return _overlap_mean(self._sums[model], self._overlaps)


class SlicePass:
    """Runs a committee over the slices of sessions: one forward pass of each network for all models.

    A row of patches at a time: each network runs forward alone, each model's scores are added to the model's strip of as
    many rows as a patch has, and the strip's finished rows are given out and dropped. So memory holds what the networks
    give for a row of patches and a strip for each model, never a slice of scores.
    """

    def __init__(self, committee: Committee, batch_size: int) -> None:
        """Compile the pass.

        Args:
            committee: networks, models and heads.
            batch_size: most patches that run forward at a time; halved when the device's memory does not hold them.
        """
        self._committee = committee
        self._batch_size = batch_size
        # One function each, for in one graph for all TensorFlow would keep the inner tensors of all networks at once.
        self._see = [
            tf.function(partial(committee.see_by, network), reduce_retracing=True) for network in committee.networks
        ]
        self._combine = {
            model: tf.function(partial(committee.combine_by, model), reduce_retracing=True)
            for model in committee.models
        }

    def bands(self, patches: Path) -> Iterator[Band]:
        """Go through a session's slices, band by band from above.

        Args:
            patches: the session's `…_patches.json`.

        Yields:
            Bands that together are all pixels of all slices. A band's scores can be taken until the next one is asked for.

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
                    for band in self._bands_of_slice(images, number, tiling):
                        # Where memory ran out halfway, the slice starts again; what was given out is not given out twice.
                        if band.rows.start == finished:
                            yield band
                            finished = band.rows.stop
                except tf.errors.ResourceExhaustedError as error:
                    self._take_fewer(min(self._batch_size, len(tiling.columns_of_patches)), error)

    def _bands_of_slice(self, images: Any, number: int, tiling: Tiling) -> Iterator[Band]:
        shape = (tiling.side, tiling.padded[1], self._committee.classes)
        sums = {model.name: tf.zeros(shape) for model in self._committee.models}
        first = number * tiling.count
        for start, end in tiling.bands:
            for place in range(0, len(tiling.columns_of_patches), self._batch_size):
                columns = tiling.columns_of_patches[place : place + self._batch_size]
                self._add(tf.constant(images[first : first + len(columns)]), columns, sums)
                first += len(columns)
            yield Band(number, slice(start, end), sums, tiling.overlaps[start:end])
            for name, strip in sums.items():
                sums[name] = _moved_down(strip, tf.constant(end - start))

    def _add(self, images: tf.Tensor, columns: tuple[int, ...], sums: dict[str, tf.Tensor]) -> None:
        features: dict[str, tf.Tensor] = {}
        for see in self._see:
            features |= see(images)
        for model, combine in self._combine.items():
            scores = combine({name: features[name] for name in features_of(model)})
            sums[model.name] = _with_patches(sums[model.name], scores, columns)

    def _take_fewer(self, patches: int, error: tf.errors.ResourceExhaustedError) -> None:
        if patches == 1:
            raise InputError(
                f"the committee: expected one patch to fit into the device's memory with {len(self._see)} networks and "
                f"{len(self._combine)} models, found that it does not; take a larger card, or the CPU "
                "(`training.device: cpu`)"
            ) from error
        self._batch_size = patches // 2
        logger.info("memory does not hold %d patches at a time; going on with %d", patches, self._batch_size)


@tf.function(reduce_retracing=True)
def _with_patches(strip: tf.Tensor, scores: tf.Tensor, columns: tuple[int, ...]) -> tf.Tensor:
    """Add patches to a strip one by one, in their order, so that a sum is that of `patches.assemble` to the last bit."""
    for place, first in enumerate(columns):
        end = first + tf.shape(scores)[1]
        strip = tf.concat([strip[:, :first], strip[:, first:end] + scores[place], strip[:, end:]], axis=1)
    return strip


@tf.function(reduce_retracing=True)
def _overlap_mean(strip: tf.Tensor, overlaps: tf.Tensor) -> tf.Tensor:
    rows, columns, _ = tf.unstack(tf.shape(overlaps))
    return strip[:rows, :columns] / overlaps


@tf.function(reduce_retracing=True)
def _moved_down(strip: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return tf.concat([strip[rows:], tf.zeros_like(strip[:rows])], axis=0)


# The number of thresholds a float32 score from 0 to 1 reaches is the whole part of score · this, in float64. The product
# grows with the score, so it is enough that it is right at each float32 threshold and at the float32 just below: it is for
# every factor from 20.00000074 to 20.00000084 (20 itself fails, for float32(0.35) is less than 0.35).
_STEPS = 20.00000079
_BINS = THRESHOLDS.size + 1


@tf.function(reduce_retracing=True)
def _histogram_places(truth: tf.Tensor, classes: int) -> tf.Tensor:
    """Where in a flat histogram (classes, 2, 21) the counts of a pixel's classes begin: (rows, columns, classes) int32."""
    elsewhere = 1 - np.eye(classes, dtype=np.int32)
    of_true_class = tf.constant((2 * np.arange(classes) + elsewhere) * (_BINS + 1), tf.int32)
    return tf.gather(of_true_class, tf.cast(truth, tf.int32))


@tf.function(reduce_retracing=True)
def _histogram(scores: tf.Tensor, places: tf.Tensor, classes: int) -> tf.Tensor:
    """Count as `labelling.score_histogram` does, (classes, 2, 21) int32; a score of 1 is counted in the 21st place."""
    reached = tf.cast(tf.cast(scores, tf.float64) * _STEPS, tf.int32)
    # TensorFlow refuses to count on a GPU where results have to be the same each time.
    with tf.device("CPU:0"):
        size = classes * 2 * (_BINS + 1)
        found = tf.raw_ops.DenseBincount(
            input=tf.reshape(places + reached, [-1]), size=size, weights=tf.zeros([0], tf.int32)
        )
    return tf.reshape(found, (classes, 2, _BINS + 1))


@tf.function(reduce_retracing=True)
def _highest(scores: tf.Tensor) -> tf.Tensor:
    """Label as `labelling.maximum_a_posteriori` does."""
    return tf.cast(tf.argmax(scores, axis=-1, output_type=tf.int32), tf.uint8)


@tf.function(reduce_retracing=True)
def _highest_reaching(scores: tf.Tensor, limits: tf.Tensor, fallback: tf.Tensor) -> tf.Tensor:
    """Label as `labelling.by_thresholds` does; `fallback` is what counts as score where the threshold is not reached."""
    return _highest(tf.where(scores >= limits, scores, fallback))


def score_histograms(
    passing: SlicePass, committee: Committee, sessions: Sequence[SessionFiles]
) -> dict[str, NDArray[np.int64]]:
    """Histograms of scores over all pixels of the validation slices, from which thresholds are tuned (Section 4.3.2).

    Args:
        passing: the compiled pass of `committee`.
        committee: whose models are tuned.
        sessions: the fold's validation sessions.

    Returns:
        By model name, counts (classes, 2, 20) int64; see `labelling.score_histogram`.

    Raises:
        InputError: the networks do not fit a session's patches; told before any of them runs.
    """
    require_fitting(committee, sessions)
    counts = {model.name: np.zeros((committee.classes, 2, _BINS + 1), np.int64) for model in committee.models}
    for session in _told(sessions):
        truth, _ = read_truth(session.mask)
        for band in passing.bands(session.patches):
            places = _histogram_places(tf.constant(truth[band.number, band.rows]), committee.classes)
            for name, count in counts.items():
                count += _histogram(band.scores(name), places, committee.classes).numpy()
    for count in counts.values():
        count[..., _BINS - 1] += count[..., _BINS]
    return {name: count[..., :_BINS] for name, count in counts.items()}


def label_sessions(
    passing: SlicePass,
    committee: Committee,
    sessions: Sequence[SessionFiles],
    thresholds: Mapping[str, NDArray[np.float32]],
    labellings: Sequence[str],
    background: int,
    fold: int,
    mask_path: Callable[[str, SessionFiles], Path],
) -> pd.DataFrame:
    """Label the test sessions with every experiment, write the masks, and count against the truth.

    Labels of a session are kept compressed until its masks are written.

    Args:
        passing: the compiled pass of `committee`.
        committee: whose models label.
        sessions: the test sessions.
        thresholds: by model name, (classes,) float32.
        labellings: of `MAP`, `TH`.
        background: id of the class given where no score passes its threshold.
        fold: the networks' fold.
        mask_path: where the mask of an experiment and a session goes.

    Returns:
        Counts of pixels, as `metrics.slice_counts` gives them.

    Raises:
        InputError: the networks do not fit a session's patches; told before any of them runs.
    """
    require_fitting(committee, sessions)
    # What counts as score where the threshold is not reached: less than any score, least of all for the other classes.
    fallback = tf.constant(np.where(np.arange(committee.classes) == background, -1, -2), tf.float32)
    limits = {name: tf.constant(values, tf.float32) for name, values in thresholds.items()}

    def label(band: Band) -> Iterator[tuple[str, tf.Tensor]]:
        for model in committee.models:
            scores = band.scores(model.name)
            for labelling in labellings:
                by_maximum = labelling == "MAP"
                labels = _highest(scores) if by_maximum else _highest_reaching(scores, limits[model.name], fallback)
                yield f"{model.name}+{labelling}", labels

    def label_session(session: SessionFiles) -> list[pd.DataFrame]:
        truth, reference = read_truth(session.mask)
        pieces: dict[str, list[bytes]] = defaultdict(list)
        for band in passing.bands(session.patches):
            for experiment, labels in label(band):
                pieces[experiment].append(_packed(labels.numpy()))

        def finish(experiment: str) -> pd.DataFrame:
            # Bands follow each other as the rows of the slices do.
            labels = np.concatenate([_unpacked(piece) for piece in pieces[experiment]]).reshape(truth.shape)
            write_labels(mask_path(experiment, session), labels, reference)
            identity = {"participant_id": session.participant_id, "session_id": session.session_id}
            return slice_counts(truth, labels, committee.classes, experiment=experiment, fold=fold, **identity)

        # A thread compresses a mask without holding up the others.
        with ThreadPoolExecutor(tf.config.threading.get_intra_op_parallelism_threads() or None) as threads:
            return list(threads.map(finish, pieces))

    return pd.concat([frame for session in _told(sessions) for frame in label_session(session)], ignore_index=True)


def _packed(labels: NDArray[np.uint8]) -> bytes:
    return blosc2.compress2(np.ascontiguousarray(labels), codec=blosc2.Codec.ZSTD, clevel=1, typesize=1, nthreads=1)


def _unpacked(piece: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(blosc2.decompress2(piece, nthreads=1), np.uint8)


def write_labels(path: Path, labels: NDArray[np.uint8], reference: nib.Nifti1Image) -> None:
    """Write labels in sagittal view as a compressed NIfTI on the reference's grid, with its header codes."""
    image = volume(from_sagittal_view(labels, reference.affine), reference.affine, codes_of(reference))
    with whole(path) as temporary:
        nib.save(image, temporary)


def _told(sessions: Sequence[SessionFiles]) -> Iterator[SessionFiles]:
    for number, session in enumerate(sessions, start=1):
        logger.info("session %d of %d: %s", number, len(sessions), session.label)
        yield session


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
