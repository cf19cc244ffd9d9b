"""Prediction of whole sessions: score histograms for the tuning of thresholds, masks, counts and maps of uncertainty."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import blosc2
import keras
import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbarseg.atomic_io import atomic_write
from lumbarseg.config.study import Model
from lumbarseg.evaluation.calibration import SUMS, calibration_rows, calibration_sums
from lumbarseg.evaluation.labelling import BINS, label_by_threshold, maximum_a_posteriori, score_histogram
from lumbarseg.evaluation.metrics import slice_counts
from lumbarseg.evaluation.partial_labels import merge_labels, merge_scores
from lumbarseg.geometry import codes_of, from_sagittal_view, volume
from lumbarseg.inference.session_files import SessionFiles, read_truth, require_matching_patches
from lumbarseg.inference.sliding_window import RowBlock, SlidingWindowPredictor, host_threads
from lumbarseg.inference.uncertainty import entropy, mutual_information

logger = logging.getLogger("lumbarseg")


def score_histograms(
    predictor: SlidingWindowPredictor,
    sessions: Sequence[SessionFiles],
    *,
    background: int,
    unlabelled: Sequence[int] = (),
) -> dict[str, NDArray[np.int64]]:
    """Compute the score histograms of every model over all validation slices, for the tuning of thresholds (Section 4.3.2).

    Args:
        predictor: predictor of the fold's ensemble.
        sessions: the fold's validation sessions.
        background: id of the background.
        unlabelled: ids of the classes that masks do not hold; their scores count as the background's.

    Returns:
        By model name, counts (classes, 2, 20) int64; see `labelling.score_histogram`.

    Raises:
        InputError: the networks do not match a session's patches; checked before any network runs.
    """
    ensemble = predictor.ensemble
    require_matching_patches(ensemble, sessions)
    histograms = {model.name: np.zeros((ensemble.classes, 2, BINS), np.int64) for model in ensemble.models}

    def add(block: RowBlock, truth: NDArray[np.uint8], model: str) -> None:
        scores = merge_scores(block.scores(model), unlabelled, background)
        score_histogram(scores, truth, out=histograms[model])

    with host_threads() as threads:
        for session in _log_progress(sessions):
            truth, _ = read_truth(session.mask)
            for block in predictor.row_blocks(session.patches):
                list(threads.map(partial(add, block, truth[block.number, block.rows]), histograms))
    return histograms


@dataclass(frozen=True)
class LabellingResult:
    """What `label_sessions` measures, apart from the masks it writes.

    Attributes:
        counts: pixels of each slice, class and experiment; see `metrics.slice_counts`.
        calibration: sums of scores of each model and class over all sessions; see `calibration.calibration_rows`.
    """

    counts: pd.DataFrame
    calibration: pd.DataFrame


def label_sessions(
    predictor: SlidingWindowPredictor,
    sessions: Sequence[SessionFiles],
    thresholds: Mapping[str, NDArray[np.float32]],
    mask_folders: Mapping[str, Path],
    *,
    labellings: Sequence[str],
    background: int,
    fold: int,
    unlabelled: Sequence[int] = (),
    uncertain_model: str | None = None,
    uncertainty_folder: Path | None = None,
) -> LabellingResult:
    """Label the test sessions with every experiment, write the masks, and count pixels against the truth.

    The labels of a session are kept compressed in memory until its masks are written.

    Args:
        predictor: predictor of the fold's ensemble.
        sessions: the fold's test sessions.
        thresholds: by model name, the threshold of each class, (classes,) float32; not used by `MAP`.
        mask_folders: by experiment, the folder of its masks, `<session label>_dseg.nii.gz`.
        labellings: labellings to apply, of `MAP` and `TH`.
        background: id of the class of pixels where no score reaches its threshold.
        fold: number of the fold.
        unlabelled: ids of the classes that true masks do not hold; in counts and calibration, but not in the masks that are
            written, they are background.
        uncertain_model: name of the model whose uncertainty is mapped, if any.
        uncertainty_folder: folder of its maps, `<session label>_desc-<measure>_uncertainty.nii.gz` for each of
            `uncertainty.MEASURES`.

    Raises:
        InputError: the networks do not match a session's patches; checked before any network runs.
    """
    ensemble = predictor.ensemble
    require_matching_patches(ensemble, sessions)
    mapped = [model for model in ensemble.models if uncertainty_folder and model.name == uncertain_model]
    sums = {model.name: np.zeros((ensemble.classes, BINS, len(SUMS))) for model in ensemble.models}

    def label(block: RowBlock, truth: NDArray[np.uint8], model: str) -> dict[str, bytes]:
        scores = block.scores(model)
        sums[model] += calibration_sums(merge_scores(scores, unlabelled, background), truth)
        return {
            f"{model}+{labelling}": _compressed(
                maximum_a_posteriori(scores)
                if labelling == "MAP"
                else label_by_threshold(scores, thresholds[model], background)
            )
            for labelling in labellings
        }

    def label_session(session: SessionFiles, threads: Executor) -> list[pd.DataFrame]:
        truth, reference = read_truth(session.mask)
        labels: dict[str, list[bytes]] = defaultdict(list)
        maps: dict[str, list[bytes]] = defaultdict(list)
        for block in predictor.row_blocks(session.patches):
            for of_model in threads.map(partial(label, block, truth[block.number, block.rows]), sums):
                for experiment, rows in of_model.items():
                    labels[experiment].append(rows)
            for model in mapped:
                for measure, values in uncertainty_of(block, model).items():
                    maps[measure].append(_compressed(values))

        def write_and_count(experiment: str) -> pd.DataFrame:
            predicted = _joined(labels[experiment], truth.shape)
            write_labels(mask_folders[experiment] / f"{session.label}_dseg.nii.gz", predicted, reference)
            identity = {"participant_id": session.participant_id, "session_id": session.session_id}
            counted = merge_labels(predicted, unlabelled, background)
            return slice_counts(truth, counted, ensemble.classes, experiment=experiment, fold=fold, **identity)

        for measure, row_blocks in maps.items():
            assert uncertainty_folder is not None
            path = uncertainty_folder / f"{session.label}_desc-{measure}_uncertainty.nii.gz"
            write_uncertainty(path, _joined(row_blocks, truth.shape), reference, ensemble.classes)
        return list(threads.map(write_and_count, labels))

    # Labelling and compression release Python's lock, so that the models and masks are processed in parallel.
    with host_threads() as threads:
        counts = [frame for session in _log_progress(sessions) for frame in label_session(session, threads)]
    rows = [calibration_rows(of_model, model=name, fold=fold) for name, of_model in sums.items()]
    return LabellingResult(pd.concat(counts, ignore_index=True), pd.concat(rows, ignore_index=True))


def uncertainty_of(block: RowBlock, model: Model) -> dict[str, NDArray[np.uint8]]:
    """Compute the uncertainty of a row block.

    Args:
        block: a row block with the scores of the model and of its networks.
        model: the network or ensemble.

    Returns:
        By measure (`uncertainty.MEASURES`), (rows, columns) uint8, 0 … 255: multiples of ln(classes) / 255 nats.
    """
    members = [block.scores(network) for network in model.networks]
    nats = {"entropy": entropy(block.scores(model.name)), "mutualinformation": mutual_information(members)}
    greatest = np.log(members[0].shape[-1])
    return {
        measure: np.rint(np.clip(keras.ops.convert_to_numpy(values) / greatest, 0, 1) * 255).astype(np.uint8)
        for measure, values in nats.items()
    }


def _compressed(rows: NDArray[np.uint8]) -> bytes:
    return blosc2.compress2(np.ascontiguousarray(rows), codec=blosc2.Codec.ZSTD, clevel=1, typesize=1, nthreads=1)


def _joined(row_blocks: Sequence[bytes], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Decompress and join the row blocks of a session, which are in the order of slices and rows."""
    rows = [np.frombuffer(blosc2.decompress2(block, nthreads=1), np.uint8) for block in row_blocks]
    return np.concatenate(rows).reshape(shape)


def write_labels(path: Path, labels: NDArray[np.integer], reference: nib.Nifti1Image) -> None:
    """Write labels as compressed NIfTI on the grid of a reference image, with its header codes.

    Args:
        path: the file to write, `.nii.gz`.
        labels: (slices, rows, columns) integers, sagittal view; their type is kept.
        reference: the image that defines grid and codes.
    """
    image = volume(from_sagittal_view(labels, reference.affine), reference.affine, codes_of(reference))
    with atomic_write(path) as temporary:
        nib.save(image, temporary)


def write_uncertainty(path: Path, values: NDArray[np.uint8], reference: nib.Nifti1Image, classes: int) -> None:
    """Write a map of `uncertainty_of` as compressed NIfTI on the grid of a reference image, scaled to nats.

    Args:
        path: the file to write, `.nii.gz`.
        values: (slices, rows, columns) uint8, sagittal view.
        reference: the image that defines grid and codes.
        classes: number of classes, background included.
    """
    image = volume(from_sagittal_view(values, reference.affine), reference.affine, codes_of(reference))
    image.header.set_slope_inter(np.log(classes) / 255, 0)
    with atomic_write(path) as temporary:
        nib.save(image, temporary)


def _log_progress(sessions: Sequence[SessionFiles]) -> Iterator[SessionFiles]:
    for number, session in enumerate(sessions, start=1):
        logger.info("session %d of %d: %s", number, len(sessions), session.label)
        yield session
