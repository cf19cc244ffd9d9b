"""Resampling to the pixel size of networks and back: positions, constants and linear images are kept."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)
from hypothesis import given
from hypothesis import strategies as st

from lumbarseg.inference.resampling import resample_scores, resample_slices
from lumbarseg.inference.sliding_window import RowBlock

SPACING = st.floats(0.4, 1.6)


@given(rows=st.integers(20, 90), columns=st.integers(20, 90), row=SPACING, column=SPACING, pixel=st.floats(0.6, 1.5))
def test_resample_slices_keeps_a_linear_image_where_it_is(rows, columns, row, column, pixel):
    image = (0.3 * row * (np.arange(rows) + 0.5)[:, None] - 0.2 * column * (np.arange(columns) + 0.5)).astype(
        np.float32
    )
    found = resample_slices(image[None, ..., None], (row, column), pixel)[0, ..., 0]
    assert found.shape == (round(rows * row / pixel), round(columns * column / pixel))
    # Rounding the size changes the pixel a little.
    down, along = rows * row / found.shape[0], columns * column / found.shape[1]
    expected = 0.3 * down * (np.arange(found.shape[0]) + 0.5)[:, None] - 0.2 * along * (np.arange(found.shape[1]) + 0.5)
    inner = slice(4, -4)
    np.testing.assert_allclose(found[inner, inner], expected[inner, inner], atol=0.02)


def test_resample_slices_agrees_with_itk_where_pixels_shrink():
    image = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    found = resample_slices(image[None, ..., None], (1.0, 1.0), 0.5)[0, ..., 0]
    original = sitk.GetImageFromArray(image)
    grid = sitk.Image(100, 80, sitk.sitkFloat32)
    grid.SetSpacing((0.5, 0.5))
    grid.SetOrigin((-0.25, -0.25))
    expected = sitk.GetArrayFromImage(sitk.Resample(original, grid, sitk.Transform(), sitk.sitkLinear))
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize("shape", [(30, 24), (60, 48), (19, 70)])
def test_resample_scores_joins_row_blocks_and_keeps_sums_of_scores(shape):
    generator = np.random.default_rng(2)
    scores = generator.dirichlet(np.ones(4), (3, 30, 24)).astype(np.float32)
    blocks = [
        RowBlock(number, slice(start, start + 10), {"U1": 2 * scores[number, start : start + 10]}, np.full((10, 24), 2))
        for number in range(3)
        for start in (0, 10, 20)
    ]
    found = list(resample_scores(blocks, shape, ["U1"]))
    assert [block.number for block in found] == [0, 1, 2]
    for block, original in zip(found, scores, strict=True):
        assert block.rows == slice(0, shape[0])
        assert block.scores("U1").shape == (*shape, 4)
        np.testing.assert_allclose(block.scores("U1").sum(-1), 1.0, atol=1e-5)
        if shape == (30, 24):
            np.testing.assert_allclose(block.scores("U1"), original, atol=1e-6)
