"""Tiling of slices into patches, and stitching."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.data.tiling import CutPatches, Tiling, extract, stitch, window_starts


def starts_by_a_plain_loop(length, side, stride):
    """Add patches until steps are no longer than the stride, then spread them evenly."""
    if length <= side:
        return [0]
    steps = 1
    while (length - side) / steps > stride:
        steps += 1
    return [round(step * (length - side) / steps) for step in range(steps + 1)]


def test_window_starts_gives_two_to_five_patches_for_the_papers_sizes():
    assert [len(window_starts(length, 256, 192)) for length in (320, 512, 640, 800, 1024)] == [2, 3, 3, 4, 5]
    assert window_starts(512, 256, 192) == [0, 128, 256]
    assert window_starts(1024, 256, 192) == [0, 192, 384, 576, 768]


def test_window_starts_agrees_with_a_plain_loop_for_every_length():
    for length in range(64, 1101):
        found = window_starts(length, 256, 192)
        assert found == starts_by_a_plain_loop(length, 256, 192)
        assert found[0] == 0
        assert found[-1] == max(0, length - 256)
        assert all(0 < after - before <= 192 for before, after in itertools.pairwise(found))


sides = st.integers(1, 40)


@settings(deadline=None)
@given(
    rows=sides,
    columns=sides,
    side=st.integers(1, 24),
    part=st.floats(0.2, 1),
    channels=st.sampled_from([(), (1,), (3,)]),
)
def test_stitch_inverts_extract(rows, columns, side, part, channels):
    image = (
        np.random.default_rng(rows * 41 + columns).integers(-9, 99, size=(rows, columns, *channels)).astype("float32")
    )
    tiling = Tiling(rows, columns, side, max(1, math.floor(part * side)))
    patches = extract(image, tiling)
    assert patches.shape == (tiling.count, side, side, *channels)
    assert patches.dtype == image.dtype
    np.testing.assert_allclose(stitch(patches, tiling), image, rtol=1e-6)


def test_stitch_inverts_extract_for_every_side_from_256_to_1100():
    # Each length once as rows, with a few columns, and once as columns: the two axes are independent.
    row = np.random.default_rng(0).integers(-9, 99, 1100).astype("float32")
    for length in range(256, 1101):
        image = np.tile(row[:length, None], (1, 8))
        for one in (image, image.T):
            tiling = Tiling(*one.shape, 256, 192)
            np.testing.assert_array_equal(stitch(extract(one, tiling), tiling), one)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(100, 1100), columns=st.integers(100, 1100))
def test_stitch_inverts_extract_for_the_papers_patches(rows, columns):
    image = np.random.default_rng(rows).integers(-9, 99, (rows, columns)).astype("float32")
    tiling = Tiling(rows, columns, 256, 192)
    np.testing.assert_array_equal(stitch(extract(image, tiling), tiling), image)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 16), columns=st.integers(1, 16), side=st.integers(2, 10), part=st.floats(0.2, 1))
def test_stitch_averages_overlaps_like_a_plain_loop(rows, columns, side, part):
    tiling = Tiling(rows, columns, side, max(1, math.floor(part * side)))
    patches = np.random.default_rng(0).random((tiling.count, side, side, 2))
    expected = np.zeros((rows, columns, 2))
    for row in range(rows):
        for column in range(columns):
            seen = [
                patch[row - top, column - left]
                for (top, left), patch in zip(tiling.positions, patches, strict=True)
                if 0 <= row - top < side and 0 <= column - left < side
            ]
            assert len(seen) == tiling.coverage[row, column] >= 1
            expected[row, column] = np.mean(seen, axis=0)
    np.testing.assert_allclose(stitch(patches, tiling), expected, rtol=1e-12)
    np.testing.assert_allclose(stitch((patch for patch in patches), tiling), expected, rtol=1e-12)


def test_extract_orders_patches_by_row():
    image = np.arange(20 * 30).reshape(20, 30)
    tiling = Tiling(20, 30, 12, 9)
    assert tiling.positions == [(0, 0), (0, 9), (0, 18), (8, 0), (8, 9), (8, 18)]
    for (row, column), patch in zip(tiling.positions, extract(image, tiling), strict=True):
        np.testing.assert_array_equal(patch, image[row : row + 12, column : column + 12])


def test_extract_pads_small_slices_at_their_end():
    image = np.ones((5, 20), dtype=np.uint8)
    patches = extract(image, Tiling(5, 20, 8, 6), padding=7)
    assert patches.shape == (3, 8, 8)
    assert (patches[:, :5] == 1).all()
    assert (patches[:, 5:] == 7).all()


@pytest.mark.parametrize(("rows", "columns"), [(5, 20), (20, 5), (5, 5), (21, 19)])
def test_cut_patches_are_those_of_extract_wherever_they_are_read(rows, columns):
    slices = np.random.default_rng(1).normal(size=(3, rows, columns, 2)).astype(np.float32)
    tiling = Tiling(rows, columns, 8, 6)
    found, expected = CutPatches(slices, tiling), np.concatenate([extract(one, tiling) for one in slices])
    assert len(found) == len(expected)
    for start in range(len(expected)):
        np.testing.assert_array_equal(found[start : start + 4], expected[start : start + 4])


def test_stitch_sums_half_precision_in_single_precision():
    tiling = Tiling(24, 24, 16, 4)
    patches = np.full((tiling.count, 16, 16, 3), 1 / 3, dtype=np.float16)
    assembled = stitch(patches, tiling)
    assert assembled.dtype == np.float32
    np.testing.assert_allclose(assembled, np.float32(np.float16(1 / 3)), rtol=1e-6)


def test_extract_and_stitch_reject_sizes_that_do_not_fit():
    tiling = Tiling(20, 30, 12, 9)
    with pytest.raises(ValueError, match="does not fit"):
        extract(np.zeros((30, 20)), tiling)
    with pytest.raises(ValueError, match="shorter"):
        stitch(np.zeros((5, 12, 12, 2)), tiling)
    with pytest.raises(ValueError, match="longer"):
        stitch(np.zeros((7, 12, 12, 2)), tiling)
