"""How far scores can be taken for probabilities: reliability, expected calibration error and Brier score of each class.

A class is looked at against the rest: of the pixels that a model gives a score of about 0.7 for a disc, 70 % should be
disc. Sums are kept, for they add up over slices. Beyond the paper; the measures are those of Guo et al. 2017, "On
calibration of modern neural networks", and Brier 1950.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbarseg.evaluation.labelling import BINS, THRESHOLDS, above_lowest_threshold, bins_of, score_histogram

SUMS = ["pixels", "true_pixels", "score_sum", "squared_error_sum"]
"""What is kept of each class and bin of scores, as columns."""

_EDGES = np.concatenate([[0.0], THRESHOLDS, [1.0]])


def calibration_sums(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum up the scores of each class in 20 bins, 0 … 0.05, 0.05 … 0.1 and so on; a score on an edge is in the upper one.

    Args:
        scores: (…, K) float32, 0 … 1.
        truth: (…) uint8, class ids.

    Returns:
        (K, 20, 4) float64, `SUMS`: pixels; those of the class in the truth; their scores; and the squared differences
        between score and truth (1 in the class, 0 elsewhere).
    """
    classes = scores.shape[-1]
    pixels, true = np.ascontiguousarray(scores).reshape(-1, classes), truth.reshape(-1)
    own = pixels.reshape(-1).take(np.arange(len(pixels)) * classes + true)

    def by_bin(places: NDArray[np.intp], weights: NDArray[np.float32]) -> NDArray[np.float64]:
        sums = np.bincount(places, weights=weights, minlength=classes * BINS)
        return sums.reshape(classes, BINS).astype(np.float64, copy=False)

    def of_all(power: int) -> NDArray[np.float64]:
        """The sums of a power of the scores: those in the first bin are what the others leave of the total."""
        found = by_bin(places, values**power)
        found[:, 0] += np.maximum((pixels**power).sum(axis=0, dtype=np.float64) - found.sum(axis=1), 0.0)
        return found

    _, tissue, values = above_lowest_threshold(pixels)
    places = (tissue * BINS + bins_of(values)).astype(np.intp)
    histogram = score_histogram(pixels, true)
    inside = histogram[:, 0]
    # (p − y)² summed is p² less twice the p of the class's own pixels, of which each adds 1.
    squared = of_all(2) - 2 * by_bin(true.astype(np.intp) * BINS + bins_of(own), own) + inside
    return np.stack([histogram.sum(axis=1), inside, of_all(1), np.maximum(squared, 0.0)], axis=-1)


def calibration_rows(sums: NDArray[np.float64], **identity: Any) -> pd.DataFrame:
    """Write sums as a table.

    Args:
        sums: (K, 20, 4) of `calibration_sums`, added up over slices.
        **identity: columns that are the same in every row: model, fold.

    Returns:
        The identity's columns, class_id, score_from, score_to (the bin), and `SUMS`; a row for each class and bin.
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
    """Make the table `metrics/calibration.csv`: the points of reliability diagrams.

    Args:
        rows: of `calibration_rows`, all models and folds.
        class_names: in the order of their ids.

    Returns:
        model, fold, class_id, class_name, score_from, score_to, `SUMS`, mean_score and true_share, the share of the bin's
        pixels that are of the class (0 … 1; both NaN where no pixel lies in the bin).
    """
    filled = rows["pixels"].where(rows["pixels"] > 0)
    table = rows.assign(mean_score=rows["score_sum"] / filled, true_share=rows["true_pixels"] / filled)
    table.insert(list(table.columns).index("class_id") + 1, "class_name", [class_names[i] for i in rows["class_id"]])
    return table


def calibration_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute each class's expected calibration error and Brier score, against the rest.

    Args:
        rows: of `calibration_of_study`.

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
