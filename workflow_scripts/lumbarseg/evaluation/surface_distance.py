"""Distances between contours: 95th-percentile Hausdorff distance and average surface distance in millimetres."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

DISTANCES = ["hausdorff_95_mm", "average_distance_mm"]
"""Columns of the distances."""


def contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the contour of a mask: its pixels that share an edge with a pixel outside, or lie at the border of the image.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    return mask & ~ndimage.binary_erosion(mask)


def surface_distances(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing: tuple[float, float]
) -> tuple[float, float]:
    """Measure the distances between the contours of one class in one slice.

    The distance of a contour pixel is that from its centre to the centre of the nearest contour pixel of the other mask.

    Args:
        truth: (H, W) bool.
        predicted: (H, W) bool.
        spacing: distance between rows and between columns, in millimetres.

    Returns:
        The 95th-percentile Hausdorff distance (the larger of the 95th percentiles from truth to prediction and back) and the
        average symmetric surface distance (the mean over the pixels of both contours), in millimetres. Both are NaN if the
        class is absent from both masks. Both are the slice's diagonal if it is absent from one, so that a missed class is
        never better than one found in the wrong place.
    """
    if not truth.any() and not predicted.any():
        return float("nan"), float("nan")
    if not truth.any() or not predicted.any():
        diagonal = float(np.hypot(*(np.array(truth.shape) * spacing)))
        return diagonal, diagonal
    # Both contours lie in the bounding box of the two masks, so distances are computed only there.
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
    """Measure the classes of a session's slices: rows of the table `metrics/surface_distances.csv`.

    Args:
        truth: (S, H, W), class ids.
        predicted: (S, H, W), class ids.
        targets: ids of the classes to measure.
        spacing: distance between rows and between columns, in millimetres.
        identity: columns with the same value in every row: experiment, fold, participant_id, session_id.

    Returns:
        The columns of `identity`, slice (0 … S − 1), class_id, true_pixels, predicted_pixels, hausdorff_95_mm,
        average_distance_mm.
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
