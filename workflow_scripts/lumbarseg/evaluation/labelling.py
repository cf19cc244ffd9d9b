"""Labelling of scores by maximum a posteriori (MAP) and by optimised thresholds (TH), Section 4.3.

Scores are float32, and thresholds are converted to float32 before each comparison, so that `score >= threshold` has the same
result everywhere: a score stored as float32(0.35) reaches the threshold 0.35.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

THRESHOLDS: NDArray[np.float64] = np.arange(1, 20) / 20
"""The 19 thresholds tried for each class, 0.05 … 0.95 in steps of 0.05 (Section 4.3.2)."""
THRESHOLDS.setflags(write=False)

BINS = THRESHOLDS.size + 1
"""Number of bins between the thresholds."""


def maximum_a_posteriori(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Label each pixel with the class of the highest score (Section 4.3.1).

    Args:
        scores: (…, K) float32, 0 … 1.

    Returns:
        Class ids, (…) uint8; of equal scores the lower id wins.
    """
    return scores.argmax(axis=-1).astype(np.uint8)


def label_by_threshold(scores: NDArray[np.float32], thresholds: ArrayLike, background: int) -> NDArray[np.uint8]:
    """Label each pixel with the first class, in descending order of score, that reaches its threshold (Section 4.3.2).

    This is the class with the highest of the scores that reach their threshold. The background has a threshold, too.

    Args:
        scores: (…, K) float32, 0 … 1.
        thresholds: (K,), the threshold of each class.
        background: id given to pixels where no score reaches its threshold.

    Returns:
        Class ids, (…) uint8; of equal scores the lower id wins.

    Raises:
        ValueError: the number of thresholds is not that of the classes.
    """
    limits = np.asarray(thresholds, dtype=np.float32)
    if limits.shape != scores.shape[-1:]:
        raise ValueError(f"expected one threshold for each of {scores.shape[-1]} classes, found shape {limits.shape}")
    reached = scores >= limits
    labels = np.where(reached, scores, np.float32(-1)).argmax(axis=-1).astype(np.uint8)
    labels[~reached.any(axis=-1)] = background
    return labels


# floor(score · _STEPS), in float64, is the number of thresholds that a float32 score reaches. The product increases with the
# score, so it is correct for all scores if it is correct at each float32 threshold and at the float32 just below, which the
# tests check. It is for all factors from 20.00000074 to 20.00000084; 20 fails, because float32(0.35) is less than 0.35.
_STEPS = 20.00000079


def bins_of(scores: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Count how many of the 19 thresholds each score reaches.

    The result is that of `np.searchsorted(THRESHOLDS.astype(np.float32), scores, side="right")`, which takes thirteen times
    as long and would double the time of `score_histogram` (docs/benchmarks.md).

    Args:
        scores: any shape, float32, 0 … 1.

    Returns:
        0 … 19, uint16, the same shape.
    """
    return np.minimum(np.multiply(scores, _STEPS, dtype=np.float64).astype(np.uint16), BINS - 1)


def above_lowest_threshold(
    scores: NDArray[np.float32],
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]:
    """Find the scores that reach the lowest threshold; a trained network has one or two per pixel.

    All other scores lie in the first bin, whose contents follow from totals.

    Args:
        scores: (pixels, K) float32, 0 … 1.

    Returns:
        Pixel (uint32), class (uint32) and value (float32) of each of these scores.
    """
    flat, classes = scores.reshape(-1), np.uint32(scores.shape[1])
    where = np.flatnonzero(flat >= np.float32(THRESHOLDS[0]))
    place = where.astype(np.uint32)
    pixel = place // classes  # faster than np.divmod
    return pixel, place - pixel * classes, flat.take(where)


_PIECE = 32768


def score_histogram(
    scores: NDArray[np.float32], truth: NDArray[np.uint8], out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Count the scores of each class by the number of thresholds they reach, inside and outside the true class.

    The histograms of several slices can be added, so that scores need not be stored for the tuning of thresholds.

    Args:
        scores: (…, K) float32, 0 … 1.
        truth: (…) uint8, class ids.
        out: a histogram to add to; a new one is created if None.

    Returns:
        (K, 2, 20) int64: for each class, the number of pixels whose score for the class reaches exactly 0 … 19 thresholds;
        [:, 0] of the pixels that belong to the class in `truth`, [:, 1] of the others.
    """
    classes = scores.shape[-1]
    histogram = np.zeros((classes, 2, BINS), np.int64) if out is None else out
    pixels, true = np.ascontiguousarray(scores).reshape(-1, classes), truth.reshape(-1)
    # The pieces fit into the cache of a processor core.
    for start in range(0, len(pixels), _PIECE):
        of_piece = true[start : start + _PIECE]
        pixel, tissue, values = above_lowest_threshold(pixels[start : start + _PIECE])
        part = 2 * tissue + (of_piece.take(pixel) != tissue)
        places = (part * BINS + bins_of(values)).astype(np.intp)
        found = np.bincount(places, minlength=classes * 2 * BINS).reshape(classes, 2, BINS)
        inside = np.bincount(of_piece, minlength=classes)
        found[..., 0] += np.stack([inside, len(of_piece) - inside], axis=1) - found.sum(axis=2)
        histogram += found
    return histogram


def threshold_curves(histogram: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the exact IoU of each class against the rest at each of the 19 thresholds (equation 3).

    Args:
        histogram: (K, 2, 20) of `score_histogram`.

    Returns:
        IoU (K, 19), 0 … 1; NaN where the class is absent from the truth and no score reaches the threshold.
    """
    reached = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    common, elsewhere = reached[:, 0], reached[:, 1]
    union = histogram[:, 0].sum(axis=-1, keepdims=True) + elsewhere
    return np.divide(common, union, out=np.full(union.shape, np.nan), where=union > 0)


def tune_thresholds(histogram: NDArray[np.int64]) -> NDArray[np.float64]:
    """Choose for each class the threshold with the highest IoU on the validation slices (Section 4.3.2).

    A tie goes to the threshold nearest to 0.5, then to the lower one. A class that is nowhere in the validation truth
    says nothing about its threshold (its IoU is 0 or NaN throughout) and gets 0.5.

    Args:
        histogram: (K, 2, 20) of `score_histogram`, over all validation slices of a fold.

    Returns:
        (K,) float64, each one of `THRESHOLDS`.
    """
    curves = np.nan_to_num(threshold_curves(histogram), nan=0.0)
    middle = THRESHOLDS.size // 2
    # The stable sort puts the lower of two thresholds with the same distance from the middle first.
    by_preference = np.argsort(np.abs(np.arange(THRESHOLDS.size) - middle), kind="stable")
    return THRESHOLDS[by_preference[np.argmax(curves[:, by_preference], axis=1)]]


def describe_tuning(
    histogram: NDArray[np.int64], *, model: str, fold: int, class_names: Sequence[str]
) -> dict[str, Any]:
    """Tune the thresholds of a model and describe the result: the content of `thresholds/<model>/fold-<k>.json`.

    Args:
        histogram: (K, 2, 20) of `score_histogram`, over all validation slices of the fold.
        model: name of the model.
        fold: number of the fold.
        class_names: class names in the order of the ids.

    Returns:
        model, fold, thresholds (by class name), values (the 19 thresholds) and iou (by class name, the IoU at each of the
        19; None where there is none, because JSON has no NaN).
    """
    curves = threshold_curves(histogram)
    iou = np.where(np.isnan(curves), None, curves).tolist()  # type: ignore[call-overload]
    return {
        "model": model,
        "fold": fold,
        "thresholds": dict(zip(class_names, tune_thresholds(histogram).tolist(), strict=True)),
        "values": THRESHOLDS.tolist(),
        "iou": dict(zip(class_names, iou, strict=True)),
    }


def thresholds_by_model(
    tuned: Iterable[Mapping[str, Any]], class_names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return the tuned thresholds of some models.

    Args:
        tuned: contents of the files `thresholds/<model>/fold-<k>.json` of one fold, see `describe_tuning`.
        class_names: class names in the order of the ids.

    Returns:
        By model name, (K,) float32.
    """
    return {one["model"]: np.array([one["thresholds"][name] for name in class_names], np.float32) for one in tuned}


def curves_of_study(tuned: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Combine the curves of all models and folds in one table, `metrics/threshold_curves.csv`.

    Args:
        tuned: contents of the files `thresholds/<model>/fold-<k>.json`, see `describe_tuning`.

    Returns:
        A row for each model, fold, class and threshold: model, fold, class_id, class_name, threshold, iou (0 … 1; NaN
        where the class is absent from the truth and no score reaches the threshold) and chosen (true for the tuned one).
    """
    rows = [
        (one["model"], one["fold"], class_id, name, value, iou, value == one["thresholds"][name])
        for one in tuned
        for class_id, (name, curve) in enumerate(one["iou"].items())
        for value, iou in zip(one["values"], curve, strict=True)
    ]
    columns = ["model", "fold", "class_id", "class_name", "threshold", "iou", "chosen"]
    return pd.DataFrame(rows, columns=columns).astype({"iou": float})
