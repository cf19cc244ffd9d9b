"""What was corrected in drafts: overlap of each draft with its corrected mask, and the share of pixels that were changed.

Overlap is high where an observer accepts a draft, whether it is right or not, so it measures the work that is left to do, not the
accuracy of the networks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbarseg.evaluation.metrics import COUNTS, iou, slice_counts
from lumbarseg.labels import LabelTable

SESSION = ["drawn", "participant_id", "session_id"]
"""Columns that identify a corrected session."""


def session_corrections(
    corrected: NDArray[np.uint8],
    draft: NDArray[np.uint8],
    labels: LabelTable,
    left_out: Sequence[str] = (),
    **identity: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare a draft with its corrected mask.

    Args:
        corrected: (slices, rows, columns) class ids.
        draft: the same shape, class ids.
        labels: the label table.
        left_out: names of the classes that the draft or the mask does not hold; they have no IoU.
        identity: columns with the same value in every row: those of `SESSION`, drafted_by.

    Returns:
        A row for each class: the columns of `identity`, class_id, class_name, true_pixels (of the mask), predicted_pixels (of the
        draft), common_pixels, iou (0 … 1, NaN for a class that both lack) and changed_share (0 … 1, of all pixels of the session, the
        same in each row). And a row for each slice: the columns of `identity`, slice (from 0, the patient's right), changed_share of
        the slice, mean_iou (without background).
    """
    counts = slice_counts(corrected, draft, len(labels), **identity)
    pixels = corrected[0].size
    slices = counts.assign(iou=iou(*(counts[column] for column in COUNTS)))
    slices.loc[_not_compared(slices["class_id"], labels, left_out, background=True), "iou"] = np.nan
    by_slice = slices.groupby([*identity, "slice"], sort=False).agg(
        unchanged=("common_pixels", "sum"), mean_iou=("iou", "mean")
    )
    by_slice.insert(0, "changed_share", 1 - by_slice.pop("unchanged") / pixels)
    by_class = counts.groupby([*identity, "class_id"], sort=False)[COUNTS].sum().reset_index()
    by_class.insert(len(identity) + 1, "class_name", by_class["class_id"].map(dict(enumerate(labels.names))))
    by_class["iou"] = iou(*(by_class[column] for column in COUNTS))
    by_class.loc[_not_compared(by_class["class_id"], labels, left_out), "iou"] = np.nan
    by_class["changed_share"] = 1 - by_class["common_pixels"].sum() / corrected.size
    return by_class, by_slice.reset_index()


def mean_corrections(corrections: pd.DataFrame, background: int) -> pd.DataFrame:
    """Average over the classes of each session.

    Args:
        corrections: rows of the first table of `session_corrections`.
        background: id of the background class.

    Returns:
        A row for each session in the order drawn: drawn, participant_id, session_id, drafted_by, changed_share, mean_iou (0 … 1,
        without background).
    """
    shown = corrections.assign(iou=corrections["iou"].where(corrections["class_id"] != background))
    keys = [*SESSION, "drafted_by", "changed_share"]
    means = shown.groupby(keys, sort=False)["iou"].mean().rename("mean_iou").reset_index()
    return means.sort_values("drawn", ignore_index=True)


def _not_compared(
    ids: "pd.Series[int]", labels: LabelTable, left_out: Sequence[str], background: bool = False
) -> "pd.Series[bool]":
    names = [
        tissue.id for tissue in labels if tissue.name in left_out or (background and tissue.id == labels.background)
    ]
    return ids.isin(names)
