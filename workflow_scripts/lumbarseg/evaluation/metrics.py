"""Overlap measures from pixel counts: per slice, per patient, pooled over a fold's test slices, and averaged (Section 5.5).

Counts are stored instead of ratios, because they can be added: over all slices of a fold, or of a patient.
The same rule applies to IoU, Dice, precision and recall: a class that is absent from truth and prediction has no value (NaN)
and is left out of averages; a class that is absent from only one of them has the value 0.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.labels import LabelTable

COUNTS = ["true_pixels", "predicted_pixels", "common_pixels"]
"""Columns of t_c, m_c and m_cc of equation 3."""

SLICE = ["participant_id", "session_id", "slice"]
"""Columns that identify a slice."""

IDENTITIES = ["experiment", *SLICE[:2]]
"""Text columns with few different values."""


def confusion_per_slice(truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Count the pixels of each pair of classes in each slice.

    Args:
        truth: (S, H, W), class ids 0 … classes − 1.
        predicted: (S, H, W), class ids 0 … classes − 1.
        classes: number of classes K.

    Returns:
        (S, K, K) int64, number of pixels by slice, true class (rows) and predicted class (columns).

    Raises:
        ValueError: the shapes differ, or an id is not below `classes`.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth and prediction have different shapes: {truth.shape} and {predicted.shape}")
    if truth.size and max(truth.max(), predicted.max()) >= classes:
        raise ValueError(f"expected class ids below {classes}, found {max(truth.max(), predicted.max())}")
    confusion = np.zeros((len(truth), classes, classes), np.int64)
    for place, (true, found) in enumerate(zip(truth, predicted, strict=True)):
        pairs = (true.astype(np.uint16) * np.uint16(classes) + found).ravel()
        # Label maps have long runs of equal pixels; counting runs is much faster than counting pixels.
        starts = np.flatnonzero(pairs[1:] != pairs[:-1])
        starts += 1
        if starts.size < pairs.size // 8:
            starts = np.concatenate([[0], starts])[: pairs.size]
            counts = np.bincount(pairs[starts], np.diff(starts, append=pairs.size), classes**2)
        else:
            counts = np.bincount(pairs, minlength=classes**2)
        confusion[place] = counts.reshape(classes, classes)
    return confusion


def counts_per_slice(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of each class in each slice (t_c, m_c and m_cc of equation 3).

    Args:
        truth: (S, H, W), class ids 0 … classes − 1.
        predicted: (S, H, W), class ids 0 … classes − 1.
        classes: number of classes K.

    Returns:
        Number of pixels of each class in the truth, in the prediction, and in both; each (S, K) int64.

    Raises:
        ValueError: the shapes differ, or an id is not below `classes`.
    """
    confusion = confusion_per_slice(truth, predicted, classes)
    return confusion.sum(axis=2), confusion.sum(axis=1), confusion.diagonal(axis1=1, axis2=2).copy()


def iou(true: ArrayLike, predicted: ArrayLike, common: ArrayLike) -> NDArray[np.float64]:
    """Compute the intersection over union (equation 3).

    Args:
        true: t_c, number of pixels of the class in the truth; any shape.
        predicted: m_c, number of pixels of the class in the prediction; same shape.
        common: m_cc, number of pixels of the class in both; same shape.

    Returns:
        0 … 1, float64, same shape; NaN where the class is absent from both.
    """
    return _ratio(common, np.asarray(true) + np.asarray(predicted) - np.asarray(common))


def dice(true: ArrayLike, predicted: ArrayLike, common: ArrayLike) -> NDArray[np.float64]:
    """Compute the Dice coefficient, 2 · m_cc / (t_c + m_c); arguments and result as in `iou`."""
    return _ratio(2 * np.asarray(common), np.asarray(true) + np.asarray(predicted))


def precision(true: ArrayLike, predicted: ArrayLike, common: ArrayLike) -> NDArray[np.float64]:
    """Compute the precision, m_cc / m_c; arguments and result as in `iou`."""
    return _zero_if_present(_ratio(common, predicted), true)


def recall(true: ArrayLike, predicted: ArrayLike, common: ArrayLike) -> NDArray[np.float64]:
    """Compute the recall, m_cc / t_c; arguments and result as in `iou`."""
    return _zero_if_present(_ratio(common, true), predicted)


MEASURES: Mapping[str, Callable[..., NDArray[np.float64]]] = {
    "iou": iou,
    "dice": dice,
    "precision": precision,
    "recall": recall,
}
"""Measures computed from counts, by the name of their column."""


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    numerator, denominator = np.asarray(part, dtype=np.float64), np.asarray(whole)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _zero_if_present(values: NDArray[np.float64], other: ArrayLike) -> NDArray[np.float64]:
    """Replace NaN (denominator 0) by 0 where the class is present in the other of truth and prediction."""
    return np.where(np.isnan(values) & (np.asarray(other) > 0), 0.0, values)


def slice_counts(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int, **identity: str | int
) -> pd.DataFrame:
    """Count the pixels of each slice and class of one session.

    Args:
        truth: (S, H, W), class ids.
        predicted: (S, H, W), class ids.
        classes: number of classes K.
        identity: columns with the same value in every row: experiment, fold, participant_id, session_id.

    Returns:
        S · K rows: the columns of `identity`, slice (0 … S − 1), class_id, true_pixels, predicted_pixels, common_pixels.
    """
    counts = counts_per_slice(truth, predicted, classes)
    slices = len(truth)
    columns: dict[str, Any] = {
        **{name: [value] * (slices * classes) for name, value in identity.items()},
        "slice": np.repeat(np.arange(slices), classes),
        "class_id": np.tile(np.arange(classes), slices),
    }
    return pd.DataFrame(columns | {name: values.ravel() for name, values in zip(COUNTS, counts, strict=True)})


def read_rows(paths: Iterable[str | os.PathLike[str]], columns: list[str] | None = None) -> pd.DataFrame:
    """Read tables of counts or IoU; text columns become categories, which saves memory and time with millions of rows.

    Args:
        paths: CSV files, compressed or not, with the same columns.
        columns: columns to read; all if None.

    Returns:
        All rows in the order of the files. Ids stay texts ("01" is not converted to a number); categories are in order of
        appearance.
    """
    frames = [read_csv(path, columns) for path in paths]
    for name in [name for name in IDENTITIES if name in frames[0]]:
        order = pd.CategoricalDtype(list(dict.fromkeys(text for frame in frames for text in frame[name].unique())))
        for frame in frames:
            frame[name] = frame[name].astype(order)
    return pd.concat(frames, ignore_index=True)


def slice_iou(counts: pd.DataFrame) -> pd.DataFrame:
    """Compute the IoU of each slice and class: the table `metrics/iou_per_slice.csv`.

    Args:
        counts: rows of `slice_counts` of any sessions, folds and experiments.

    Returns:
        The columns experiment, fold, participant_id, session_id, slice, class_id, true_pixels, predicted_pixels,
        common_pixels, iou (0 … 1, NaN where the class is absent from both).
    """
    frame = counts[["experiment", "fold", *SLICE, "class_id", *COUNTS]].reset_index(drop=True)
    return frame.assign(iou=iou(*(frame[column] for column in COUNTS)))


def fold_iou(counts: pd.DataFrame, classes: LabelTable) -> pd.DataFrame:
    """Pool the counts over each fold's test slices: the table `metrics/iou.csv`.

    Args:
        counts: rows of `slice_counts` or `slice_iou`.
        classes: the label table, used for the class names.

    Returns:
        The columns experiment, fold, class_id, class_name, true_pixels, predicted_pixels, common_pixels, iou, dice,
        precision, recall; experiments in the order of `counts`, then by fold and class.
    """
    return _pooled(counts, ["experiment", "fold", "class_id"], classes)


def patient_iou(counts: pd.DataFrame, classes: LabelTable) -> pd.DataFrame:
    """Pool the counts over all slices of a patient, fold by fold: the table `metrics/iou_per_patient.csv`.

    Args:
        counts: rows of `slice_counts` or `slice_iou`.
        classes: the label table, used for the class names.

    Returns:
        The columns experiment, fold, participant_id, and those of `fold_iou` from class_id on; in the same order.
    """
    return _pooled(counts, ["experiment", "fold", "participant_id", "class_id"], classes)


def _pooled(counts: pd.DataFrame, keys: list[str], classes: LabelTable) -> pd.DataFrame:
    order = pd.CategoricalDtype(list(counts["experiment"].unique()))
    pooled = counts.astype({"experiment": order}).groupby(keys, observed=True)[COUNTS].sum().reset_index()
    pooled["experiment"] = pooled["experiment"].astype(str)
    names = pooled["class_id"].map(dict(enumerate(classes.names)))
    pooled.insert(len(keys), "class_name", names)
    return pooled.assign(**{name: of(*(pooled[column] for column in COUNTS)) for name, of in MEASURES.items()})


def worst_cases(per_slice: pd.DataFrame, classes: LabelTable, most: int = 5) -> pd.DataFrame:
    """List the slices with the lowest mean IoU of each experiment, one per patient: the table `metrics/worst_cases.csv`.

    Args:
        per_slice: the table `metrics/iou_per_slice.csv`.
        classes: the label table.
        most: maximum number of slices per experiment.

    Returns:
        experiment, fold, participant_id, session_id, slice, mean_iou (without background, 0 … 1), worst_class (name) and
        worst_iou; the worst slice first.
    """
    targets = per_slice[(per_slice["class_id"] != classes.background) & per_slice["iou"].notna()]
    keys = ["experiment", "fold", *SLICE]
    grouped = targets.groupby(keys, observed=True, sort=False)["iou"]
    found = pd.DataFrame({"mean_iou": grouped.mean(), "row": grouped.idxmin()}).reset_index()
    # Other slices of the patient, and other folds, would show the same case again.
    found = found.sort_values(["mean_iou", "fold", *SLICE], kind="stable").drop_duplicates(
        ["experiment", "participant_id"]
    )
    found = found.groupby("experiment", observed=True, sort=False).head(most)
    order = {name: place for place, name in enumerate(per_slice["experiment"].unique())}
    found = found.sort_values(
        "experiment", key=lambda names: names.astype(str).map(order), kind="stable", ignore_index=True
    )
    worst = targets.loc[found.pop("row")].reset_index(drop=True)
    return found.assign(worst_class=worst["class_id"].map(dict(enumerate(classes.names))), worst_iou=worst["iou"])


def mean_iou(iou_of_classes: pd.DataFrame, background: int) -> pd.DataFrame:
    """Average the IoU over the classes of each fold, without and with background (equation 4).

    Args:
        iou_of_classes: the table `metrics/iou.csv`.
        background: id of the background class.

    Returns:
        A row for each experiment and fold: experiment, fold, without_background, with_background (0 … 1), and
        absent_classes, the number of classes without IoU, which are left out of both means.
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
    """Compute mean and standard deviation over the folds.

    Args:
        frame: one row for each fold and value of `by`, for example the table of `fold_iou` or `mean_iou`.
        by: columns that identify what is averaged, for example experiment and class_id.
        value: the column to average.

    Returns:
        `by`, mean, sd (with n − 1; NaN for a single fold) and folds, the number of folds with a value.
    """
    grouped = frame.groupby(by, sort=False)[value]
    return grouped.agg(mean="mean", sd="std", folds="count").reset_index()


def mean_iou_of_slice(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: LabelTable) -> float:
    """Compute the mean IoU of one slice without background (equation 4); NaN if both maps are all background.

    Args:
        truth: (H, W) class ids.
        prediction: (H, W) class ids.
        classes: the label table.
    """
    counts = counts_per_slice(truth[np.newaxis], prediction[np.newaxis], len(classes))
    values = iou(*counts)[0, classes.foreground_ids]
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
