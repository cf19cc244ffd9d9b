"""The committee's pass over sessions: slices put together from patches, thresholds tuned, slices labelled and counted."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import nibabel as nib
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from lumbarseg.arrays import open_array
from lumbarseg.committee import Committee
from lumbarseg.files import read_json, whole
from lumbarseg.geometry import codes_of, from_sagittal_view, load_image, sagittal_view, volume
from lumbarseg.labelling import by_thresholds, maximum_a_posteriori, score_histogram
from lumbarseg.metrics import slice_counts
from lumbarseg.patches import Tiling, assemble
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
) -> Committee:
    """Load a committee from `.keras` files.

    Args:
        models: (name, networks, combiner) of each model, as `study.Model` has them.
        names: the topologies of `networks`, in their order.
        networks: files of the fold's networks.
        heads: files of the stacked models' heads, in the order these stand in `models`.
    """
    listed = [Model(name, tuple(members), combiner) for name, members, combiner in models]
    stacked = [model.name for model in listed if model.is_stacked]
    return Committee(
        {name: keras.models.load_model(path, compile=False) for name, path in zip(names, networks, strict=True)},
        listed,
        {name: keras.models.load_model(path, compile=False) for name, path in zip(stacked, heads, strict=True)},
    )


def read_truth(mask: Path) -> tuple[NDArray[np.uint8], nib.Nifti1Image]:
    """Read a mask in sagittal view, (slices, rows, columns) uint8, and its image for geometry."""
    image = load_image(mask)
    return sagittal_view(np.asarray(image.dataobj, dtype=np.uint8), image.affine), image


class SlicePass:
    """Runs a committee over the slices of sessions: one forward pass of each network for all models."""

    def __init__(self, committee: Committee, batch_size: int) -> None:
        """Compile the pass.

        Args:
            committee: networks, models and heads.
            batch_size: most patches that run forward at a time.
        """
        self._committee = committee
        self._batch_size = batch_size
        self._scores = tf.function(lambda images: committee.combine(committee.see(images)), reduce_retracing=True)

    def slices(self, patches: Path) -> Iterator[tuple[int, dict[str, NDArray[np.float32]]]]:
        """Go through a session's slices.

        Args:
            patches: the session's `…_patches.json`.

        Yields:
            The slice's number and, by model name, its scores (rows, columns, classes) float32: the overlap mean of the
            patches' combined scores (Section 4.3).
        """
        description = read_json(patches)
        tiling = Tiling(description["rows"], description["columns"], description["side"], description["stride"])
        images = open_array(patches.parent / description["images"])
        for number in range(description["slices"]):
            parts: dict[str, list[NDArray[np.float32]]] = {model.name: [] for model in self._committee.models}
            end = (number + 1) * tiling.count
            for start in range(number * tiling.count, end, self._batch_size):
                batch = tf.constant(images[start : min(start + self._batch_size, end)])
                for name, scores in self._scores(batch).items():
                    parts[name].append(scores.numpy())
            yield number, {name: assemble(np.concatenate(part), tiling) for name, part in parts.items()}


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
    """
    histograms = {model.name: np.zeros((committee.classes, 2, 20), np.int64) for model in committee.models}
    for session in _told(sessions):
        truth, _ = read_truth(session.mask)
        for number, scores in passing.slices(session.patches):
            for name, histogram in histograms.items():
                score_histogram(scores[name], truth[number], out=histogram)
    return histograms


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
    """
    frames = []
    for session in _told(sessions):
        truth, reference = read_truth(session.mask)
        labels = {
            f"{model.name}+{labelling}": np.empty(truth.shape, np.uint8)
            for model in committee.models
            for labelling in labellings
        }
        for number, scores in passing.slices(session.patches):
            for model in committee.models:
                for labelling in labellings:
                    labels[f"{model.name}+{labelling}"][number] = (
                        maximum_a_posteriori(scores[model.name])
                        if labelling == "MAP"
                        else by_thresholds(scores[model.name], thresholds[model.name], background)
                    )
        for experiment, predicted in labels.items():
            write_labels(mask_path(experiment, session), predicted, reference)
            frames.append(
                slice_counts(
                    truth,
                    predicted,
                    committee.classes,
                    experiment=experiment,
                    fold=fold,
                    participant_id=session.participant_id,
                    session_id=session.session_id,
                )
            )
    return pd.concat(frames, ignore_index=True)


def write_labels(path: Path, labels: NDArray[np.uint8], reference: nib.Nifti1Image) -> None:
    """Write labels in sagittal view as a compressed NIfTI on the reference's grid, with its header codes."""
    image = volume(from_sagittal_view(labels, reference.affine), reference.affine, codes_of(reference))
    with whole(path) as temporary:
        nib.save(image, temporary)


def _told(sessions: Sequence[SessionFiles]) -> Iterator[SessionFiles]:
    for number, session in enumerate(sessions, start=1):
        logger.info("session %d of %d: %s", number, len(sessions), session.label)
        yield session
