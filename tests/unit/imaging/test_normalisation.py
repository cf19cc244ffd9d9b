"""Normalisation of intensities, against plain arithmetic."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lumbarseg.imaging.normalisation import zscore
from lumbarseg.imaging.quality_control import brightness_and_noise

volumes = arrays(np.int16, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 4095))


@settings(deadline=None)
@given(volumes)
def test_non_zero_voxels_get_zero_mean_and_unit_variance(voxels):
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
def test_the_gain_of_the_receiver_does_not_matter(voxels, gain):
    np.testing.assert_allclose(zscore(voxels * gain), zscore(voxels), rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(volumes)
def test_by_slice_every_slice_is_a_volume_of_its_own(voxels):
    expected = np.stack([zscore(image[None])[0] for image in voxels])
    np.testing.assert_array_equal(zscore(voxels, "slice"), expected)


def test_zeros_outside_the_body_change_nothing_inside():
    inside = np.random.default_rng(0).integers(1, 4000, size=(3, 8, 8))
    padded = np.pad(inside, ((0, 0), (4, 4), (4, 4)))
    np.testing.assert_array_equal(zscore(padded)[:, 4:-4, 4:-4], zscore(inside))


@pytest.mark.parametrize("scope", ["volume", "slice"])
@pytest.mark.parametrize("value", [0, 7, 0.1])
def test_a_constant_volume_becomes_zeros(scope, value):
    normalised = zscore(np.full((3, 50, 50), value, dtype=np.float32), scope)
    assert normalised.dtype == np.float32
    assert not normalised.any()


def test_an_empty_volume_stays_empty():
    assert zscore(np.zeros((0, 4, 4))).shape == (0, 4, 4)
    assert zscore(np.zeros((0, 4, 4)), "slice").shape == (0, 4, 4)


@pytest.mark.parametrize("deviation", [5.0, 20.0, 60.0])
def test_noise_is_that_which_was_added_and_edges_do_not_count(deviation):
    rows, columns = np.indices((120, 120))
    anatomy = np.where(
        (rows // 15 + columns // 20) % 2, 900.0, 500.0
    )  # edges along every pixel row and column of a block
    noisy = anatomy + np.random.default_rng(0).normal(0, deviation, (6, 120, 120))
    brightness, noise = brightness_and_noise(noisy)
    level = np.median(noisy)
    assert noise * level == pytest.approx(deviation, rel=0.2)
    assert brightness == pytest.approx(level / np.percentile(noisy, 99.5))


def test_brightness_and_noise_are_those_of_the_body_and_of_no_gain():
    body = np.random.default_rng(0).normal(400, 10, (4, 60, 60))
    framed = np.pad(body, ((0, 0), (30, 30), (30, 30)))
    np.testing.assert_allclose(brightness_and_noise(framed), brightness_and_noise(body), rtol=0.1)
    np.testing.assert_allclose(brightness_and_noise(body * 7), brightness_and_noise(body), rtol=1e-4)
    assert np.isnan(brightness_and_noise(np.zeros((3, 8, 8)))).all()
