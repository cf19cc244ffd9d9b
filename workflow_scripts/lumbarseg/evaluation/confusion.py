"""Which classes are taken for which: confusion matrices as rows, and as shares of each true class."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ["experiment", "fold", "true_class_id", "predicted_class_id", "pixels"]


def confusion_rows(confusion: NDArray[np.int64], experiment: str, fold: int) -> pd.DataFrame:
    """Write a confusion matrix as rows, which make the table `metrics/confusion.csv`.

    Args:
        confusion: (K, K) pixels of a class (rows) that were labelled as a class (columns).
        experiment: whose it is.
        fold: the fold.

    Returns:
        K² rows: experiment, fold, true_class_id, predicted_class_id, pixels.
    """
    true, predicted = np.indices(confusion.shape)
    values = (experiment, fold, true.ravel(), predicted.ravel(), confusion.ravel())
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def confusion_shares(rows: pd.DataFrame, experiment: str, classes: int) -> NDArray[np.float64]:
    """Give the share of each true class's pixels that was labelled as each class, all folds together.

    Args:
        rows: the table `metrics/confusion.csv`.
        experiment: whose matrix.
        classes: number of classes K.

    Returns:
        (K, K), rows of 0 … 1 that sum to 1; NaN for a class that is not in the truth.
    """
    of_experiment = rows[rows["experiment"] == experiment]
    pixels = np.zeros((classes, classes))
    np.add.at(pixels, (of_experiment["true_class_id"], of_experiment["predicted_class_id"]), of_experiment["pixels"])
    total = pixels.sum(axis=1, keepdims=True)
    return np.divide(pixels, total, out=np.full(pixels.shape, np.nan), where=total > 0)
