"""Intersection over union from pixel counts: per slice, pooled over a fold's test slices, and averaged (Section 5.5).

Counts are kept instead of ratios, since they add up: over slices for a fold, over a patient's slices for a patient.
A class that is absent from truth and prediction alike has no IoU (NaN) and is left out of averages; a class that is absent
from only one of them has IoU 0.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lumbarseg.anatomy import LabelTable

COUNTS = ["true_pixels", "predicted_pixels", "common_pixels"]
"""t_c, m_c and m_cc of equation 3, as columns."""

SLICE = ["participant_id", "session_id", "slice"]
"""What names a slice, as columns."""


def counts_per_slice(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of each class in each slice (t_c, m_c and m_cc of equation 3).

    Args:
        truth: (S, H, W), class ids 0 … classes − 1.
        predicted: (S, H, W), class ids 0 … classes − 1.
        classes: number of classes K.

    Returns:
        Pixels of each class in the truth, in the prediction, and in both at once; each (S, K) int64.

    Raises:
        ValueError: the shapes differ, or there is an id that is no class.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"expected truth and prediction of one shape, found {truth.shape} and {predicted.shape}")
    if truth.size and max(truth.max(), predicted.max()) >= classes:
        raise ValueError(f"expected class ids below {classes}, found {max(truth.max(), predicted.max())}")
    confusion = np.zeros((len(truth), classes, classes), np.int64)
    for place, (true, found) in enumerate(zip(truth, predicted, strict=True)):
        pairs = true.astype(np.uint16) * np.uint16(classes) + found
        confusion[place] = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)
    return confusion.sum(axis=2), confusion.sum(axis=1), confusion.diagonal(axis1=1, axis2=2).copy()


def iou(true: ArrayLike, predicted: ArrayLike, common: ArrayLike) -> NDArray[np.float64]:
    """Compute the intersection over union (equation 3).

    Args:
        true: t_c, pixels of the class in the truth; any shape.
        predicted: m_c, pixels given to the class; the same shape.
        common: m_cc, pixels of the class in both; the same shape.

    Returns:
        0 … 1, float64, the same shape; NaN where the class is absent from both.
    """
    intersection = np.asarray(common, dtype=np.float64)
    union = np.asarray(true) + np.asarray(predicted) - intersection
    return np.divide(intersection, union, out=np.full(intersection.shape, np.nan), where=union > 0)


def slice_counts(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int, **identity: str | int
) -> pd.DataFrame:
    """Count the pixels of one session as rows.

    Args:
        truth: (S, H, W), class ids.
        predicted: (S, H, W), class ids.
        classes: number of classes K.
        identity: columns that are the same in every row: experiment, fold, participant_id, session_id.

    Returns:
        S · K rows: the identity, slice (0 … S − 1), class_id, true_pixels, predicted_pixels, common_pixels.
    """
    counts = counts_per_slice(truth, predicted, classes)
    slices = len(truth)
    columns: dict[str, Any] = {
        **{name: [value] * (slices * classes) for name, value in identity.items()},
        "slice": np.repeat(np.arange(slices), classes),
        "class_id": np.tile(np.arange(classes), slices),
    }
    return pd.DataFrame(columns | {name: values.ravel() for name, values in zip(COUNTS, counts, strict=True)})


def slice_iou(counts: pd.DataFrame) -> pd.DataFrame:
    """Add the IoU of each row, which makes the table `metrics/iou_per_slice.csv`.

    Args:
        counts: rows of `slice_counts`, of any number of sessions, folds and experiments.

    Returns:
        The columns experiment, fold, participant_id, session_id, slice, class_id, true_pixels, predicted_pixels,
        common_pixels, iou (0 … 1, NaN where the class is absent from both).
    """
    frame = counts[["experiment", "fold", *SLICE, "class_id", *COUNTS]].reset_index(drop=True)
    return frame.assign(iou=iou(*(frame[column] for column in COUNTS)))


def fold_iou(counts: pd.DataFrame, classes: LabelTable) -> pd.DataFrame:
    """Pool the counts over each fold's test slices and take the IoU: the table `metrics/iou.csv`.

    Args:
        counts: rows of `slice_counts` or `slice_iou`.
        classes: the label table, for the names.

    Returns:
        The columns experiment, fold, class_id, class_name, true_pixels, predicted_pixels, common_pixels, iou; experiments
        in the order in which they come in `counts`, then by fold and class.
    """
    keys = ["experiment", "fold", "class_id"]
    order = pd.CategoricalDtype(list(counts["experiment"].unique()))
    pooled = counts.astype({"experiment": order}).groupby(keys, observed=True)[COUNTS].sum().reset_index()
    pooled["experiment"] = pooled["experiment"].astype(str)
    names = pooled["class_id"].map(dict(enumerate(classes.names)))
    pooled.insert(keys.index("class_id") + 1, "class_name", names)
    return pooled.assign(iou=iou(*(pooled[column] for column in COUNTS)))


def mean_iou(iou_of_classes: pd.DataFrame, background: int) -> pd.DataFrame:
    """Average the IoU over the classes of each fold (equation 4), without and with the background.

    Args:
        iou_of_classes: the table `metrics/iou.csv`.
        background: id of the class that is no target.

    Returns:
        A row for each experiment and fold: experiment, fold, without_background, with_background (0 … 1), and
        absent_classes, the number of classes without an IoU, which both means leave out.
    """
    folds = ["experiment", "fold"]
    frame = iou_of_classes[[*folds, "class_id", "iou"]]
    by_fold = frame.groupby(folds, sort=False)["iou"]
    targets = frame[frame["class_id"] != background].groupby(folds, sort=False)["iou"]
    return pd.DataFrame(
        {
            "without_background": targets.mean(),
            "with_background": by_fold.mean(),
            "absent_classes": by_fold.size() - by_fold.count(),
        }
    ).reset_index()


def over_folds(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Take mean and standard deviation over the folds.

    Args:
        frame: one row for each fold and value of `by`, for example the tables of `fold_iou` and `mean_iou`.
        by: columns that name what is averaged: experiment, class_id.
        value: the column that is averaged.

    Returns:
        `by`, mean, sd (with n − 1; NaN for a single fold) and folds, the number of folds that have a value.
    """
    grouped = frame.groupby(by, sort=False)[value]
    return grouped.agg(mean="mean", sd="std", folds="count").reset_index()
