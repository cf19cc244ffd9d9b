"""Normalisation of intensities, against plain arithmetic."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lumbarseg.imaging.normalisation import zscore

volumes = arrays(np.int16, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 4095))


@settings(deadline=None)
@given(volumes)
def test_zscore_gives_non_zero_voxels_zero_mean_and_unit_variance(voxels):
    normalised = zscore(voxels)
    inside = [float(value) for value in voxels.ravel() if value != 0]
    if len(set(inside)) < 2:
        assert not normalised.any()
        return
    mean, spread = statistics.fmean(inside), statistics.pstdev(inside)
    expected = [(float(value) - mean) / spread for value in voxels.ravel()]
    np.testing.assert_allclose(normalised.ravel(), expected, rtol=1e-5, atol=1e-6)
    assert normalised.dtype == np.float32
    assert normalised[voxels != 0].mean() == pytest.approx(0, abs=1e-5)
    assert normalised[voxels != 0].std() == pytest.approx(1, abs=1e-5)


@settings(deadline=None)
@given(volumes, st.floats(0.01, 100))
def test_zscore_is_independent_of_receiver_gain(voxels, gain):
    np.testing.assert_allclose(zscore(voxels * gain), zscore(voxels), rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(volumes)
def test_zscore_by_slice_treats_every_slice_as_a_volume(voxels):
    expected = np.stack([zscore(image[None])[0] for image in voxels])
    np.testing.assert_array_equal(zscore(voxels, "slice"), expected)


def test_zscore_ignores_zeros_outside_the_body():
    inside = np.random.default_rng(0).integers(1, 4000, size=(3, 8, 8))
    padded = np.pad(inside, ((0, 0), (4, 4), (4, 4)))
    np.testing.assert_array_equal(zscore(padded)[:, 4:-4, 4:-4], zscore(inside))


@pytest.mark.parametrize("scope", ["volume", "slice"])
@pytest.mark.parametrize("value", [0, 7, 0.1])
def test_zscore_of_a_constant_volume_is_zero(scope, value):
    normalised = zscore(np.full((3, 50, 50), value, dtype=np.float32), scope)
    assert normalised.dtype == np.float32
    assert not normalised.any()


def test_zscore_of_an_empty_volume_is_empty():
    assert zscore(np.zeros((0, 4, 4))).shape == (0, 4, 4)
    assert zscore(np.zeros((0, 4, 4)), "slice").shape == (0, 4, 4)
