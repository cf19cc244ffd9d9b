"""Confusion matrices as rows of a table, and as shares of each true class."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ["experiment", "fold", "true_class_id", "predicted_class_id", "pixels"]


def confusion_rows(confusion: NDArray[np.int64], experiment: str, fold: int) -> pd.DataFrame:
    """Convert a confusion matrix to rows of the table `metrics/confusion.csv`.

    Args:
        confusion: (K, K), number of pixels by true class (rows) and predicted class (columns).
        experiment: name of the experiment.
        fold: number of the fold.

    Returns:
        K² rows: experiment, fold, true_class_id, predicted_class_id, pixels.
    """
    true, predicted = np.indices(confusion.shape)
    values = (experiment, fold, true.ravel(), predicted.ravel(), confusion.ravel())
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def confusion_shares(rows: pd.DataFrame, experiment: str, classes: int) -> NDArray[np.float64]:
    """Compute the share of each true class's pixels that was labelled as each class, over all folds.

    Args:
        rows: the table `metrics/confusion.csv`.
        experiment: name of the experiment.
        classes: number of classes K.

    Returns:
        (K, K), 0 … 1; each row sums to 1 and is NaN for a class that is absent from the truth.
    """
    of_experiment = rows[rows["experiment"] == experiment]
    pixels = np.zeros((classes, classes))
    np.add.at(pixels, (of_experiment["true_class_id"], of_experiment["predicted_class_id"]), of_experiment["pixels"])
    total = pixels.sum(axis=1, keepdims=True)
    return np.divide(pixels, total, out=np.full(pixels.shape, np.nan), where=total > 0)
