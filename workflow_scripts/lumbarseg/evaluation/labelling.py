"""From scores to labels: maximum a posteriori (MAP) and threshold optimisation (TH), Section 4.3.

Scores are float32 and thresholds are compared as float32, so that `score >= threshold` means the same everywhere: a score
stored as float32(0.35) reaches the threshold 0.35.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

THRESHOLDS: NDArray[np.float64] = np.arange(1, 20) / 20
"""The 19 thresholds tried for each class, 0.05 … 0.95 every 0.05 (Section 4.3.2)."""
THRESHOLDS.setflags(write=False)


def maximum_a_posteriori(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give each pixel the class with the highest score (Section 4.3.1).

    Args:
        scores: (…, K) float32, 0 … 1.

    Returns:
        Class ids, uint8, (…); of equal scores the lower id wins.
    """
    return scores.argmax(axis=-1).astype(np.uint8)


def label_by_threshold(scores: NDArray[np.float32], thresholds: ArrayLike, background: int) -> NDArray[np.uint8]:
    """Give each pixel the first class, in descending order of score, whose score reaches its threshold (Section 4.3.2).

    That is the highest of the scores that reach their class's threshold. The background has a threshold like any class.

    Args:
        scores: (…, K) float32, 0 … 1.
        thresholds: (K,), the threshold of each class.
        background: the id of a pixel at which no score reaches its threshold.

    Returns:
        Class ids, uint8, (…); of equal scores the lower id wins.

    Raises:
        ValueError: there is not one threshold for each class.
    """
    limits = np.asarray(thresholds, dtype=np.float32)
    if limits.shape != scores.shape[-1:]:
        raise ValueError(f"expected a threshold for each of {scores.shape[-1]} classes, found shape {limits.shape}")
    reached = scores >= limits
    labels = np.where(reached, scores, np.float32(-1)).argmax(axis=-1).astype(np.uint8)
    labels[~reached.any(axis=-1)] = background
    return labels


# The number of thresholds a float32 score from 0 to 1 reaches is the whole part of score · this, in float64. The product
# grows with the score, so it is enough that it is right at each float32 threshold and at the float32 just below: it is for
# every factor from 20.00000074 to 20.00000084 (20 itself fails, for float32(0.35) is less than 0.35).
_STEPS = 20.00000079
BINS = THRESHOLDS.size + 1


def bins_of(scores: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Count how many of the 19 thresholds each score reaches.

    Args:
        scores: any shape, float32, 0 … 1.

    Returns:
        0 … 19, uint16, the same shape.
    """
    return np.minimum(np.multiply(scores, _STEPS, dtype=np.float64).astype(np.uint16), BINS - 1)


def above_lowest_threshold(
    scores: NDArray[np.float32],
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]:
    """Find the scores that reach the lowest threshold: one or two of a pixel where a network has learned something.

    The others all lie in the first bin, so what has to be known of them follows from totals.

    Args:
        scores: (pixels, K) float32, 0 … 1.

    Returns:
        The pixel, the class and the value of each such score.
    """
    flat, classes = scores.reshape(-1), np.uint32(scores.shape[1])
    where = np.flatnonzero(flat >= np.float32(THRESHOLDS[0]))
    place = where.astype(np.uint32)
    pixel = place // classes  # and not divmod, at which NumPy is slow
    return pixel, place - pixel * classes, flat.take(where)


def score_histogram(
    scores: NDArray[np.float32], truth: NDArray[np.uint8], out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Count how many of the 19 thresholds the scores reach: all that tuning needs to know of them.

    Histograms of several slices add up, so scores are never stored.

    Args:
        scores: (…, K) float32, 0 … 1.
        truth: (…) uint8, class ids.
        out: a histogram to add to; a new one is made when left out.

    Returns:
        (K, 2, 20) int64: for each class, the number of pixels whose score for it reaches exactly 0 … 19 thresholds;
        first of the pixels that are of this class in `truth`, then of the others.
    """
    classes = scores.shape[-1]
    histogram = np.zeros((classes, 2, BINS), np.int64) if out is None else out
    pixels, true = np.ascontiguousarray(scores).reshape(-1, classes), truth.reshape(-1)
    # Pieces that stay in a processor's cache.
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


_PIECE = 32768


def threshold_curves(histogram: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the IoU of each class against the rest at each of the 19 thresholds (equation 3), exactly.

    Args:
        histogram: (K, 2, 20) as `score_histogram` makes it.

    Returns:
        IoU (K, 19), 0 … 1; NaN where the class is neither in the truth nor reached by any score.
    """
    reached = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    common, elsewhere = reached[:, 0], reached[:, 1]
    union = histogram[:, 0].sum(axis=-1, keepdims=True) + elsewhere
    return np.divide(common, union, out=np.full(union.shape, np.nan), where=union > 0)


def tune_thresholds(histogram: NDArray[np.int64]) -> NDArray[np.float64]:
    """Choose the threshold of each class: the one with the highest IoU on the validation slices (Section 4.3.2).

    A tie goes to the threshold nearest to 0.5, then to the lower one. A class that is nowhere in the validation truth
    says nothing about its threshold (its IoU is 0 or NaN throughout) and gets 0.5.

    Args:
        histogram: (K, 2, 20) as `score_histogram` makes it, of all validation slices of a fold.

    Returns:
        (K,) float64, each one of `THRESHOLDS`.
    """
    curves = np.nan_to_num(threshold_curves(histogram), nan=0.0)
    middle = THRESHOLDS.size // 2
    # The stable sort leaves the lower of two thresholds equally far from the middle before the higher.
    by_preference = np.argsort(np.abs(np.arange(THRESHOLDS.size) - middle), kind="stable")
    return THRESHOLDS[by_preference[np.argmax(curves[:, by_preference], axis=1)]]


def curves_of_study(tuned: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Put the curves of every model and fold into one table, `metrics/threshold_curves.csv`.

    Args:
        tuned: what the files `thresholds/<model>/fold-<k>.json` hold: model, fold, values, and by class name, in the order
            of the ids, thresholds and iou.

    Returns:
        A row for each model, fold, class and threshold: model, fold, class_id, class_name, threshold, iou (0 … 1; NaN
        where the class is neither in the truth nor reached by any score) and chosen, whether this threshold is the one.
    """
    rows = [
        (one["model"], one["fold"], class_id, name, value, iou, value == one["thresholds"][name])
        for one in tuned
        for class_id, (name, curve) in enumerate(one["iou"].items())
        for value, iou in zip(one["values"], curve, strict=True)
    ]
    columns = ["model", "fold", "class_id", "class_name", "threshold", "iou", "chosen"]
    return pd.DataFrame(rows, columns=columns).astype({"iou": float})
