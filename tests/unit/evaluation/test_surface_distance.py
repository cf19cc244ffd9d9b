"""Distances between contours, against SimpleITK, a plain loop and numbers by hand."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)
from numpy.typing import NDArray
from scipy import ndimage

from lumbarseg.evaluation.surface_distance import contour, slice_distances, surface_distances

SPACING = (0.5, 0.7)


def blob(seed: int, shape: tuple[int, int] = (40, 50)) -> NDArray[np.bool_]:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3) > 0.06


def masks() -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    pixel, other, border, full = (np.zeros((40, 50), bool) for _ in range(4))
    pixel[7, 9] = other[30, 41] = True
    border[0, :] = border[:, -1] = True
    full[:] = True
    return {
        "blobs": (blob(1), blob(2)),
        "much alike": (blob(3), np.roll(blob(3), 1, axis=0)),
        "one pixel": (pixel, other),
        "pixel and blob": (pixel, blob(4)),
        "at the border": (border, blob(5)),
        "the whole slice": (full, blob(6)),
    }


def looped_contour(mask: NDArray[np.bool_]) -> set[tuple[int, int]]:
    """Pixels with a neighbour that is outside the mask or outside the image."""
    inside = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    sides = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return {(r, c) for r, c in inside if any((r + dr, c + dc) not in inside for dr, dc in sides)}


def directed(own: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distances of one contour's pixels to the other contour, by SimpleITK's exact distance map."""
    image = sitk.GetImageFromArray(contour(other).astype(np.uint8))
    image.SetSpacing(SPACING[::-1])
    distances = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    )
    return np.maximum(distances, 0)[contour(own)]  # within the other contour the map is negative


@pytest.mark.parametrize("name", masks())
def test_contour_equals_a_plain_loop(name: str) -> None:
    for mask in masks()[name]:
        assert {(int(r), int(c)) for r, c in np.argwhere(contour(mask))} == looped_contour(mask)


@pytest.mark.parametrize("name", masks())
def test_surface_distances_equal_simpleitk_in_millimetres(name: str) -> None:
    truth, predicted = masks()[name]
    there, back = directed(truth, predicted), directed(predicted, truth)
    hausdorff, average = surface_distances(truth, predicted, SPACING)
    assert hausdorff == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-4)
    assert average == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-4)


def test_surface_distances_are_0_for_equal_masks_and_the_distance_of_centres_for_two_pixels() -> None:
    assert surface_distances(blob(1), blob(1), SPACING) == (0, 0)
    truth, predicted = masks()["one pixel"]
    apart = np.hypot(23 * SPACING[0], 32 * SPACING[1])
    assert surface_distances(truth, predicted, SPACING) == pytest.approx((apart, apart))


def test_surface_distances_are_nan_if_absent_from_both_and_the_diagonal_if_absent_from_one() -> None:
    empty = np.zeros((40, 50), bool)
    assert np.isnan(surface_distances(empty, empty, SPACING)).all()
    diagonal = np.hypot(40 * SPACING[0], 50 * SPACING[1])
    assert surface_distances(empty, blob(1), SPACING) == pytest.approx((diagonal, diagonal))
    assert surface_distances(blob(1), empty, SPACING) == pytest.approx((diagonal, diagonal))


def test_surface_distances_of_a_missed_class_exceed_those_of_one_in_the_wrong_place() -> None:
    corner, opposite = np.zeros((2, 40, 50), bool)
    corner[0, 0] = opposite[-1, -1] = True
    missed = surface_distances(corner, np.zeros((40, 50), bool), SPACING)
    assert missed[0] > surface_distances(corner, opposite, SPACING)[0]


def test_slice_distances_has_a_row_for_each_slice_and_class() -> None:
    truth = np.zeros((2, 8, 8), np.uint8)
    truth[0, 2:4, 2:4] = 1
    rows = slice_distances(
        truth, truth, [1, 2], SPACING, experiment="U1+TH", fold=1, participant_id="p", session_id="01"
    )
    assert list(rows.columns) == [
        "experiment", "fold", "participant_id", "session_id", "slice", "class_id", "true_pixels", "predicted_pixels",
        "hausdorff_95_mm", "average_distance_mm",
    ]  # fmt: skip
    assert rows["slice"].tolist() == [0, 0, 1, 1]
    assert rows["true_pixels"].tolist() == [4, 0, 0, 0]
    assert rows["hausdorff_95_mm"].isna().tolist() == [False, True, True, True]
