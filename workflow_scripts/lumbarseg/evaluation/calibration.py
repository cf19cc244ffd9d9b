"""Calibration of scores: reliability, expected calibration error and Brier score of each class against the rest.

If scores were probabilities, 70 % of the pixels with a score of 0.7 for disc would be disc. Sums are stored instead of means,
because they can be added over slices. An addition to the paper; the measures are those of Guo et al. 2017, "On calibration
of modern neural networks", and Brier 1950.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbarseg.evaluation.labelling import BINS, THRESHOLDS, above_lowest_threshold, bins_of

SUMS = ["pixels", "true_pixels", "score_sum", "squared_error_sum"]
"""The sums of each class and bin of scores, as columns."""

_EDGES = np.concatenate([[0.0], THRESHOLDS, [1.0]])


def calibration_sums(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum the scores of each class in 20 bins: [0, 0.05), [0.05, 0.1), … [0.95, 1].

    Args:
        scores: (…, K) float32, 0 … 1.
        truth: (…) uint8, class ids.

    Returns:
        (K, 20, 4) float64, by class, bin and `SUMS`: number of pixels; pixels that belong to the class; sum of the scores;
        and sum of the squared differences between score and truth (1 inside the class, 0 outside).
    """
    classes = scores.shape[-1]
    pixels, true = np.ascontiguousarray(scores).reshape(-1, classes), truth.reshape(-1).astype(np.intp)
    inside = np.bincount(true, minlength=classes)
    own = np.bincount(true, pixels[np.arange(len(true)), true], classes)
    # The sum of (p − y)² is the sum of p² − 2 p y + y², with y = 1 for the pixels of the class and 0 elsewhere.
    squared = np.square(pixels).sum(axis=0, dtype=np.float64) - 2 * own + inside
    totals = [np.full(classes, len(pixels)), inside, pixels.sum(axis=0, dtype=np.float64), squared]

    pixel, tissue, values = above_lowest_threshold(pixels)
    bins = (tissue * BINS + bins_of(values)).astype(np.intp)
    hits = true.take(pixel) == tissue
    sums = np.zeros((classes, BINS, len(SUMS)))
    for place, (weights, total) in enumerate(zip((None, hits, values, np.square(values - hits)), totals, strict=True)):
        by_bin = np.bincount(bins, weights, classes * BINS).reshape(classes, BINS)
        sums[..., place] = by_bin
        # The first bin is the rest of the total; rounding must not make it negative.
        sums[:, 0, place] = np.maximum(total - by_bin.sum(axis=1), 0)
    return sums


def calibration_rows(sums: NDArray[np.float64], **identity: Any) -> pd.DataFrame:
    """Convert sums to a table.

    Args:
        sums: (K, 20, 4) of `calibration_sums`, added over slices.
        **identity: columns with the same value in every row: model, fold.

    Returns:
        A row for each class and bin: the columns of `identity`, class_id, score_from, score_to (the edges of the bin) and
        `SUMS`.
    """
    classes = len(sums)
    columns = {
        **identity,
        "class_id": np.repeat(np.arange(classes), BINS),
        "score_from": np.tile(_EDGES[:-1], classes).round(2),
        "score_to": np.tile(_EDGES[1:], classes).round(2),
    }
    return pd.DataFrame(columns | dict(zip(SUMS, sums.reshape(-1, len(SUMS)).T, strict=True))).astype(
        {"pixels": int, "true_pixels": int}
    )


def calibration_of_study(rows: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Compute the points of reliability diagrams: the table `metrics/calibration.csv`.

    Args:
        rows: rows of `calibration_rows`, all models and folds.
        class_names: class names in the order of the ids.

    Returns:
        model, fold, class_id, class_name, score_from, score_to, `SUMS`, mean_score and true_share, the share of the bin's
        pixels that belong to the class (0 … 1; both are NaN for a bin without pixels).
    """
    filled = rows["pixels"].where(rows["pixels"] > 0)
    table = rows.assign(mean_score=rows["score_sum"] / filled, true_share=rows["true_pixels"] / filled)
    table.insert(list(table.columns).index("class_id") + 1, "class_name", [class_names[i] for i in rows["class_id"]])
    return table


def calibration_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute the expected calibration error and the Brier score of each class against the rest.

    Args:
        rows: table of `calibration_of_study`.

    Returns:
        model, fold, class_id, class_name, pixels, true_pixels, expected_calibration_error (the mean over all pixels of
        |mean score − share| of their bin, 0 … 1) and brier_score (the mean squared difference, 0 … 1).
    """
    keys = ["model", "fold", "class_id", "class_name"]
    gaps = rows.assign(gap=(rows["score_sum"] - rows["true_pixels"]).abs())
    total = gaps.groupby(keys, sort=False)[["pixels", "true_pixels", "gap", "squared_error_sum"]].sum().reset_index()
    return total[[*keys, "pixels", "true_pixels"]].assign(
        expected_calibration_error=total["gap"] / total["pixels"],
        brier_score=total["squared_error_sum"] / total["pixels"],
    )
