"""Patches: where they start, and that a slice survives being cut and put together."""

import itertools
import math

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.atomic_io import read_json
from lumbarseg.data.dataset import PatchSet, write_patches
from lumbarseg.data.tiling import Tiling, extract, stitch, window_starts
from lumbarseg.geometry import from_sagittal_view, load_image, sagittal_view
from lumbarseg.imaging.conversion import convert
from lumbarseg.imaging.normalisation import zscore


def starts_by_a_plain_loop(length, side, stride):
    """Add patches until steps are no longer than the stride, then spread them evenly."""
    if length <= side:
        return [0]
    steps = 1
    while (length - side) / steps > stride:
        steps += 1
    return [round(step * (length - side) / steps) for step in range(steps + 1)]


def test_the_paper_s_sizes_give_two_to_five_patches_a_side():
    assert [len(window_starts(length, 256, 192)) for length in (320, 512, 640, 800, 1024)] == [2, 3, 3, 4, 5]
    assert window_starts(512, 256, 192) == [0, 128, 256]
    assert window_starts(1024, 256, 192) == [0, 192, 384, 576, 768]


def test_starts_of_every_length_are_those_of_a_plain_loop_and_cover_the_side():
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
def test_a_slice_cut_into_patches_and_put_together_is_the_same_slice(rows, columns, side, part, channels):
    image = (
        np.random.default_rng(rows * 41 + columns).integers(-9, 99, size=(rows, columns, *channels)).astype("float32")
    )
    tiling = Tiling(rows, columns, side, max(1, math.floor(part * side)))
    patches = extract(image, tiling)
    assert patches.shape == (tiling.count, side, side, *channels)
    assert patches.dtype == image.dtype
    np.testing.assert_allclose(stitch(patches, tiling), image, rtol=1e-6)


def test_a_slice_of_every_side_from_256_to_1100_comes_back_from_the_paper_s_patches():
    # Each length as rows beside a short side, and as columns: an image is the identity if each of its sides is.
    row = np.random.default_rng(0).integers(-9, 99, 1100).astype("float32")
    for length in range(256, 1101):
        image = np.tile(row[:length, None], (1, 8))
        for one in (image, image.T):
            tiling = Tiling(*one.shape, 256, 192)
            np.testing.assert_array_equal(stitch(extract(one, tiling), tiling), one)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(100, 1100), columns=st.integers(100, 1100))
def test_a_slice_of_any_two_sides_comes_back_from_the_paper_s_patches(rows, columns):
    image = np.random.default_rng(rows).integers(-9, 99, (rows, columns)).astype("float32")
    tiling = Tiling(rows, columns, 256, 192)
    np.testing.assert_array_equal(stitch(extract(image, tiling), tiling), image)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 16), columns=st.integers(1, 16), side=st.integers(2, 10), part=st.floats(0.2, 1))
def test_overlapping_scores_are_averaged_as_by_a_plain_loop(rows, columns, side, part):
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


def test_patches_go_row_by_row_and_show_the_slice_at_their_position():
    image = np.arange(20 * 30).reshape(20, 30)
    tiling = Tiling(20, 30, 12, 9)
    assert tiling.positions == [(0, 0), (0, 9), (0, 18), (8, 0), (8, 9), (8, 18)]
    for (row, column), patch in zip(tiling.positions, extract(image, tiling), strict=True):
        np.testing.assert_array_equal(patch, image[row : row + 12, column : column + 12])


def test_a_slice_smaller_than_a_patch_is_filled_up_at_its_end():
    image = np.ones((5, 20), dtype=np.uint8)
    patches = extract(image, Tiling(5, 20, 8, 6), padding=7)
    assert patches.shape == (3, 8, 8)
    assert (patches[:, :5] == 1).all()
    assert (patches[:, 5:] == 7).all()


def test_half_precision_scores_are_summed_in_single_precision():
    tiling = Tiling(24, 24, 16, 4)
    patches = np.full((tiling.count, 16, 16, 3), 1 / 3, dtype=np.float16)
    assembled = stitch(patches, tiling)
    assert assembled.dtype == np.float32
    np.testing.assert_allclose(assembled, np.float32(np.float16(1 / 3)), rtol=1e-6)


def test_a_slice_or_a_number_of_patches_that_does_not_fit_is_an_error():
    tiling = Tiling(20, 30, 12, 9)
    with pytest.raises(ValueError, match="does not fit"):
        extract(np.zeros((30, 20)), tiling)
    with pytest.raises(ValueError, match="shorter"):
        stitch(np.zeros((5, 12, 12, 2)), tiling)
    with pytest.raises(ValueError, match="longer"):
        stitch(np.zeros((7, 12, 12, 2)), tiling)


# ---- from any image to patches and back ------------------------------------------------------------------------------

SAGITTAL = np.array([[0, 0, -4.4, 10], [-0.713, 0, 0, 5], [0, 0.713, 0, -7], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("rows", "columns", "dtype", "slope", "constant"),
    [
        (200, 200, "uint8", None, False),
        (1400, 1400, "int16", None, False),
        (300, 1000, "uint16", None, True),  # one slice of a single value
        (641, 333, "int32", None, False),
        (200, 700, "int16", (0.37, -21.5), False),  # slope and intercept
        (256, 257, "float32", None, False),
    ],
)
def test_any_image_becomes_patches_from_which_its_slices_are_rebuilt_exactly(
    tmp_path, rows, columns, dtype, slope, constant
):
    generator = np.random.default_rng(rows)
    highest = min(np.iinfo(dtype).max, 10**6) if np.issubdtype(dtype, np.integer) else 4000
    voxels = (generator.random((columns, rows, 3)) * highest).astype(dtype)
    if constant:
        voxels[:, :, 1] = 7
    image = nib.Nifti1Image(voxels, SAGITTAL)
    image.set_sform(SAGITTAL, 1)
    image.set_qform(SAGITTAL, 1)
    meant = voxels.astype(np.float64)
    if slope:
        image.header.set_slope_inter(*slope)
        nib.save(image, tmp_path / "scan.nii.gz")
        meant = nib.load(tmp_path / "scan.nii.gz").get_fdata()
    nib.save(image, tmp_path / "scan.nii.gz")
    convert(tmp_path / "scan.nii.gz", "T2w", tmp_path / "t2w.nii.gz", tmp_path / "t2w.json")
    converted = load_image(tmp_path / "t2w.nii.gz")
    np.testing.assert_allclose(np.asanyarray(converted.dataobj), meant, rtol=1e-6)

    for scope in ("volume", "slice"):
        scores = zscore(sagittal_view(np.asanyarray(converted.dataobj), converted.affine), scope)
        assert scores.shape == (3, rows, columns)
        assert np.isfinite(scores).all()
    if constant:
        assert not scores[1].any()  # of a slice of one value nothing is left, by slice
    labels = (np.abs(scores) > 1).astype(np.uint8)
    description = tmp_path / "a_patches.json"
    write_patches(
        scores[..., None], labels, side=256, stride=192, background=0, description=description,
        images_path=tmp_path / "a_images.b2nd", labels_path=tmp_path / "a_labels.b2nd",
    )  # fmt: skip
    content = read_json(description)
    tiling = Tiling(*(content[key] for key in ("rows", "columns", "side", "stride")))
    patches = PatchSet([description])
    assert len(patches) == 3 * tiling.count
    for number in range(content["slices"]):
        images, masks = patches.read(range(number * tiling.count, (number + 1) * tiling.count))
        np.testing.assert_allclose(stitch(images, tiling)[..., 0], scores[number], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(stitch(masks[..., None], tiling)[..., 0], labels[number])
    # and back to the order of the file
    np.testing.assert_array_equal(sagittal_view(from_sagittal_view(scores, converted.affine), converted.affine), scores)
