"""Assessment of an experiment's masks against the truth: distances between contours, and confusion of classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbarseg.evaluation.confusion import confusion_rows
from lumbarseg.evaluation.metrics import confusion_per_slice
from lumbarseg.evaluation.partial_labels import merge_labels
from lumbarseg.evaluation.surface_distance import slice_distances
from lumbarseg.geometry import read_view
from lumbarseg.labels import LabelTable


@dataclass(frozen=True)
class MaskPair:
    """The true and the predicted mask of a session.

    Attributes:
        participant_id: id of the patient.
        session_id: id of the session.
        truth: true class ids on the T2w grid, NIfTI.
        predicted: predicted class ids on the same grid, NIfTI.
    """

    participant_id: str
    session_id: str
    truth: str | Path
    predicted: str | Path


def assess_experiment(
    experiment: str, fold: int, pairs: Iterable[MaskPair], labels: LabelTable, unlabelled: Sequence[int] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the masks of an experiment's test sessions in one fold.

    Args:
        experiment: name of the experiment.
        fold: number of the fold.
        pairs: the masks of the fold's test sessions.
        labels: the label table; distances are measured for all classes but the background.
        unlabelled: ids of the classes that true masks do not hold; predictions of them count as background.

    Returns:
        Rows of the tables `metrics/surface_distances.csv` (see `slice_distances`) and `metrics/confusion.csv` (see
        `confusion_rows`; all sessions together).

    Raises:
        ValueError: the masks of a session have different shapes, or an id is not in the label table.
    """
    distances, confusion = [], np.zeros((len(labels), len(labels)), np.int64)
    for pair in pairs:
        truth, spacing = read_view(pair.truth, "convert")
        predicted = merge_labels(read_view(pair.predicted, "reconstruct")[0], unlabelled, labels.background)
        confusion += confusion_per_slice(truth, predicted, len(labels)).sum(axis=0)
        identity = {"participant_id": pair.participant_id, "session_id": pair.session_id}
        distances.append(
            slice_distances(
                truth, predicted, labels.foreground_ids, spacing, experiment=experiment, fold=fold, **identity
            )
        )
    return pd.concat(distances, ignore_index=True), confusion_rows(confusion, experiment, fold)
