"""How far contours lie apart: 95th-percentile Hausdorff and average surface distance in millimetres."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

DISTANCES = ["hausdorff_95_mm", "average_distance_mm"]
"""The columns of distances."""


def contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels of a mask that have a side in common with a pixel outside it, or lie at the image's border.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    return mask & ~ndimage.binary_erosion(mask)


def surface_distances(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing: tuple[float, float]
) -> tuple[float, float]:
    """Measure how far the contours of one class lie apart in one slice.

    Every contour pixel has a distance, from its centre to that of the nearest contour pixel of the other mask.

    Args:
        truth: (H, W) bool.
        predicted: (H, W) bool.
        spacing: millimetres between rows and between columns.

    Returns:
        The 95th-percentile Hausdorff distance (of the two 95th percentiles, from truth to prediction and back, the larger)
        and the average symmetric surface distance (the mean over the pixels of both contours), in millimetres. NaN where
        the class is absent from both; the slice's diagonal where it is absent from one, so that a class which was missed
        counts as no better than one found at the other end of the slice.
    """
    if not truth.any() and not predicted.any():
        return float("nan"), float("nan")
    if not truth.any() or not predicted.any():
        diagonal = float(np.hypot(*(np.array(truth.shape) * spacing)))
        return diagonal, diagonal
    # All contours lie in the box around both masks, so distances beyond it are of no use.
    box = ndimage.find_objects((truth | predicted).astype(np.uint8))[0]
    contours = [contour(mask[box]) for mask in (truth, predicted)]
    there, back = (
        ndimage.distance_transform_edt(~other, sampling=spacing)[own] for own, other in (contours, contours[::-1])
    )
    hausdorff = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(hausdorff), float(np.concatenate([there, back]).mean())


def slice_distances(
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    targets: list[int],
    spacing: tuple[float, float],
    **identity: str | int,
) -> pd.DataFrame:
    """Measure the classes of a session's slices as rows, which make the table `metrics/surface_distances.csv`.

    Args:
        truth: (S, H, W), class ids.
        predicted: (S, H, W), class ids.
        targets: ids of the classes that are measured.
        spacing: millimetres between rows and between columns.
        identity: columns that are the same in every row: experiment, fold, participant_id, session_id.

    Returns:
        The identity, slice (0 … S − 1), class_id, true_pixels, predicted_pixels, hausdorff_95_mm, average_distance_mm.
    """
    rows = [
        (place, c, int(in_truth.sum()), int(in_prediction.sum()), *surface_distances(in_truth, in_prediction, spacing))
        for place, (true, found) in enumerate(zip(truth, predicted, strict=True))
        for c in targets
        for in_truth, in_prediction in [(true == c, found == c)]
    ]
    columns = ["slice", "class_id", "true_pixels", "predicted_pixels", *DISTANCES]
    frame = pd.DataFrame(rows, columns=columns)
    for place, (name, value) in enumerate(identity.items()):
        frame.insert(place, name, value)
    return frame
