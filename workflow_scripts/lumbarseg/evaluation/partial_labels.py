"""Masks that hold some classes only: what they leave unlabelled may be any of the other classes.

Where predictions are compared with such masks, all unlabelled classes count as background. Nothing else is changed: masks that are
written keep what the networks found.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def merge_labels(labels: NDArray[np.uint8], unlabelled: Sequence[int], background: int) -> NDArray[np.uint8]:
    """Turn the classes that masks do not hold into background.

    Args:
        labels: class ids, any shape.
        unlabelled: ids of the classes that masks do not hold; none if masks are complete.
        background: id of the background.

    Returns:
        Class ids of the same shape; the same array if masks are complete.
    """
    if not unlabelled:
        return labels
    table = np.arange(256, dtype=np.uint8)
    table[list(unlabelled)] = background
    return table[labels]


def merge_scores(scores: NDArray[np.float32], unlabelled: Sequence[int], background: int) -> NDArray[np.float32]:
    """Add the scores of the classes that masks do not hold to that of the background.

    Args:
        scores: (…, classes) float32, 0 … 1.
        unlabelled: as for `merge_labels`.
        background: as for `merge_labels`.

    Returns:
        (…, classes) float32, 0 for unlabelled classes; the same array if masks are complete.
    """
    if not unlabelled:
        return scores
    merged = scores.copy()
    merged[..., background] += scores[..., list(unlabelled)].sum(axis=-1)
    merged[..., list(unlabelled)] = 0
    # Rounding may leave a sum just above 1.
    return np.minimum(merged, np.float32(1), out=merged)


def merging_matrix(classes: int, unlabelled: Sequence[int], background: int) -> NDArray[np.float32]:
    """Return the matrix (classes, classes) that scores are multiplied by to merge them as `merge_scores` does."""
    matrix: NDArray[Any] = np.eye(classes, dtype=np.float32)
    matrix[list(unlabelled)] = matrix[background]
    return matrix
