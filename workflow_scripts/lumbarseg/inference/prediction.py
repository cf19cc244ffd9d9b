"""The passes over sessions: thresholds are tuned from histograms of scores, slices are labelled and counted."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from lumbarseg.geometry import codes_of, from_sagittal_view, volume
from lumbarseg.inference.session_files import SessionFiles, read_truth, require_fitting
from lumbarseg.inference.sliding_window import RowBlock, SlidingWindowPredictor, host_threads
from lumbarseg.inference.uncertainty import entropy, mutual_information
from lumbarseg.models.ensemble import Ensemble

logger = logging.getLogger("lumbarseg")


def score_histograms(
    predictor: SlidingWindowPredictor, ensemble: Ensemble, sessions: Sequence[SessionFiles]
) -> dict[str, NDArray[np.int64]]:
    """Histograms of scores over all pixels of the validation slices, from which thresholds are tuned (Section 4.3.2).

    Args:
        predictor: the compiled pass of `ensemble`.
        ensemble: whose models are tuned.
        sessions: the fold's validation sessions.

    Returns:
        By model name, counts (classes, 2, 20) int64; see `labelling.score_histogram`.

    Raises:
        InputError: the networks do not fit a session's patches; told before any of them runs.
    """
    require_fitting(ensemble, sessions)
    counts = {model.name: np.zeros((ensemble.classes, 2, BINS), np.int64) for model in ensemble.models}
    with host_threads() as threads:
        for session in _log_progress(sessions):
            truth, _ = read_truth(session.mask)
            for block in predictor.row_blocks(session.patches):
                list(threads.map(partial(_count, block, truth[block.number, block.rows]), counts.items()))
    return counts


def _count(block: RowBlock, truth: NDArray[np.uint8], counted: tuple[str, NDArray[np.int64]]) -> None:
    model, histogram = counted
    score_histogram(block.scores(model), truth, out=histogram)


@dataclass(frozen=True)
class Labelled:
    """What is found of the test sessions, beside the masks.

    Attributes:
        counts: pixels of each slice, class and experiment, as `metrics.slice_counts` gives them.
        calibration: of each model and class, as `calibration.calibration_rows` gives it, all sessions together.
    """

    counts: pd.DataFrame
    calibration: pd.DataFrame


def label_sessions(
    predictor: SlidingWindowPredictor,
    ensemble: Ensemble,
    sessions: Sequence[SessionFiles],
    thresholds: Mapping[str, NDArray[np.float32]],
    labellings: Sequence[str],
    background: int,
    fold: int,
    mask_path: Callable[[str, SessionFiles], Path],
    uncertain: str | None = None,
    map_path: Callable[[str, SessionFiles], Path] | None = None,
) -> Labelled:
    """Label the test sessions with every experiment, write the masks, and count against the truth.

    Labels of a session are kept compressed until its masks are written.

    Args:
        predictor: the compiled pass of `ensemble`.
        ensemble: whose models label.
        sessions: the test sessions.
        thresholds: by model name, (classes,) float32.
        labellings: of `MAP`, `TH`.
        background: id of the class given where no score passes its threshold.
        fold: the networks' fold.
        mask_path: where the mask of an experiment and a session goes.
        uncertain: the model whose entropy and mutual information are mapped, if any.
        map_path: where the map of a measure (`uncertainty.MEASURES`) and a session goes.

    Raises:
        InputError: the networks do not fit a session's patches; told before any of them runs.
    """
    require_fitting(ensemble, sessions)
    mapped = [model for model in ensemble.models if model.name == uncertain]
    sums = {model.name: np.zeros((ensemble.classes, BINS, len(SUMS))) for model in ensemble.models}

    def label(block: RowBlock, true: NDArray[np.uint8], name: str) -> dict[str, bytes]:
        scores = block.scores(name)
        sums[name] += calibration_sums(scores, true)
        found = {}
        for labelling in labellings:
            by_maximum = labelling == "MAP"
            labels = (
                maximum_a_posteriori(scores) if by_maximum else label_by_threshold(scores, thresholds[name], background)
            )
            found[f"{name}+{labelling}"] = _packed(labels)
        return found

    def label_session(session: SessionFiles, threads: Executor) -> list[pd.DataFrame]:
        truth, reference = read_truth(session.mask)
        pieces: dict[str, list[bytes]] = defaultdict(list)
        maps: dict[str, list[bytes]] = defaultdict(list)
        for block in predictor.row_blocks(session.patches):
            for found in threads.map(partial(label, block, truth[block.number, block.rows]), sums):
                for experiment, labels in found.items():
                    pieces[experiment].append(labels)
            for model in mapped:
                for measure, values in uncertainty_of(block, model).items():
                    maps[measure].append(_packed(values))

        def finish(experiment: str) -> pd.DataFrame:
            labels = _put_together(pieces[experiment], truth.shape)
            write_labels(mask_path(experiment, session), labels, reference)
            identity = {"participant_id": session.participant_id, "session_id": session.session_id}
            return slice_counts(truth, labels, ensemble.classes, experiment=experiment, fold=fold, **identity)

        for measure, packed in maps.items():
            assert map_path is not None
            write_uncertainty(
                map_path(measure, session), _put_together(packed, truth.shape), reference, ensemble.classes
            )
        return list(threads.map(finish, pieces))

    # A thread compresses a mask, or labels with a model, without holding up the others.
    with host_threads() as threads:
        counts = [frame for session in _log_progress(sessions) for frame in label_session(session, threads)]
    rows = [calibration_rows(found, model=name, fold=fold) for name, found in sums.items()]
    return Labelled(pd.concat(counts, ignore_index=True), pd.concat(rows, ignore_index=True))


def uncertainty_of(block: RowBlock, model: Model) -> dict[str, NDArray[np.uint8]]:
    """A row block's uncertainty, by `uncertainty.MEASURES`, in steps of a 255th of its greatest value: (rows, columns) uint8."""
    members = [block.scores(network) for network in model.networks]
    found = {"entropy": entropy(block.scores(model.name)), "mutualinformation": mutual_information(members)}
    greatest = np.log(members[0].shape[-1])
    return {
        measure: np.rint(np.clip(keras.ops.convert_to_numpy(values) / greatest, 0, 1) * 255).astype(np.uint8)
        for measure, values in found.items()
    }


def _packed(labels: NDArray[np.uint8]) -> bytes:
    return blosc2.compress2(np.ascontiguousarray(labels), codec=blosc2.Codec.ZSTD, clevel=1, typesize=1, nthreads=1)


def _unpacked(piece: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(blosc2.decompress2(piece, nthreads=1), np.uint8)


def _put_together(pieces: Sequence[bytes], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    # Bands follow each other as the rows of the slices do.
    return np.concatenate([_unpacked(piece) for piece in pieces]).reshape(shape)


def write_labels(path: Path, labels: NDArray[np.uint8], reference: nib.Nifti1Image) -> None:
    """Write labels in sagittal view as a compressed NIfTI on the reference's grid, with its header codes."""
    image = volume(from_sagittal_view(labels, reference.affine), reference.affine, codes_of(reference))
    with atomic_write(path) as temporary:
        nib.save(image, temporary)


def write_uncertainty(path: Path, values: NDArray[np.uint8], reference: nib.Nifti1Image, classes: int) -> None:
    """Write steps of `uncertainty_of` as a compressed NIfTI on the reference's grid, scaled so that it reads in nats."""
    image = volume(from_sagittal_view(values, reference.affine), reference.affine, codes_of(reference))
    image.header.set_slope_inter(np.log(classes) / 255, 0)
    with atomic_write(path) as temporary:
        nib.save(image, temporary)


def _log_progress(sessions: Sequence[SessionFiles]) -> Iterator[SessionFiles]:
    for number, session in enumerate(sessions, start=1):
        logger.info("session %d of %d: %s", number, len(sessions), session.label)
        yield session
