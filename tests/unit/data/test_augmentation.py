"""Augmentation: one warp a sample, labels never blurred."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from lumbarseg.config.model_sections import Augmentation
from lumbarseg.data.augmentation import draw_warps, randomise_channels, warp

STILL = Augmentation(rotation_deg=0, zoom=(1, 1), shift=0, flip=0)
PAPER = Augmentation()


def patches(side=48, number=6, seed=0):
    generator = np.random.default_rng(seed)
    images = ndimage.gaussian_filter(generator.normal(size=(number, side, side, 2)), (0, 4, 4, 0)).astype(np.float32)
    labels = (images[..., 0] > 0).astype(np.uint8) + 2 * (images[..., 1] > 0).astype(np.uint8)
    return images, labels


def test_warp_without_changes_keeps_every_pixel():
    images, labels = patches()
    warped, classes = warp(images, labels, draw_warps(np.random.default_rng(0), 6, 48, STILL))
    assert np.array_equal(keras.ops.convert_to_numpy(warped), images)
    assert np.array_equal(keras.ops.convert_to_numpy(classes), labels)


def test_warp_flip_mirrors_columns_of_image_and_labels_exactly():
    images, labels = patches()
    warped, classes = warp(
        images, labels, draw_warps(np.random.default_rng(0), 6, 48, STILL.model_copy(update={"flip": 1}))
    )
    assert np.array_equal(keras.ops.convert_to_numpy(warped), images[:, :, ::-1])
    assert np.array_equal(keras.ops.convert_to_numpy(classes), labels[:, :, ::-1])


def test_warp_with_zoom_above_one_magnifies():
    disc = np.hypot(*(np.indices((64, 64)) - 31.5)) < 10
    warps = draw_warps(np.random.default_rng(0), 1, 64, STILL.model_copy(update={"zoom": (1.5, 1.5)}))
    _, classes = warp(np.zeros((1, 64, 64, 1), np.float32), disc[None].astype(np.uint8), warps)
    area = keras.ops.convert_to_numpy(classes).sum()
    assert area == pytest.approx(disc.sum() * 1.5**2, rel=0.05)


def test_warp_agrees_with_scipy():
    images, labels = patches()
    warps = draw_warps(np.random.default_rng(3), len(images), 48, PAPER)
    warped, classes = (keras.ops.convert_to_numpy(part) for part in warp(images, labels, warps))
    for number, (a, b, c, d, e, f, _, _) in enumerate(warps.astype(float)):
        # The warp speaks of (column, row), scipy of (row, column).
        matrix, offset = np.array([[e, d], [b, a]]), np.array([f, c])
        expected = ndimage.affine_transform(images[number, ..., 0], matrix, offset, order=1, mode="nearest")
        nearest = ndimage.affine_transform(labels[number], matrix, offset, order=0, mode="nearest")
        assert np.abs(warped[number, ..., 0] - expected).max() < 1e-3
        assert (classes[number] == nearest).mean() > 0.995  # half-way pixels may be rounded either way


def test_warp_keeps_the_set_of_labels():
    images, labels = patches()
    for seed in range(5):
        _, classes = warp(images, labels * 5, draw_warps(np.random.default_rng(seed), 6, 48, PAPER))
        assert set(np.unique(keras.ops.convert_to_numpy(classes))) <= set(np.unique(labels * 5).tolist())


def test_draw_warps_keeps_to_the_papers_ranges():
    warps = draw_warps(np.random.default_rng(0), 2000, 256, PAPER).astype(float)
    linear = warps[:, [0, 1, 3, 4]].reshape(-1, 2, 2)
    determinant = np.linalg.det(linear)
    zoom = 1 / np.sqrt(np.abs(determinant))
    angle = np.degrees(np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]))
    centre = np.full(2, 127.5)
    shift = (linear @ centre + warps[:, [2, 5]] - centre) / 256
    for found, low, high in ((zoom, 0.5, 1.5), (angle, -20, 20), (shift, -0.1, 0.1)):
        assert low - 1e-6 <= found.min() < low + 0.05 * (high - low)
        assert high + 1e-6 >= found.max() > high - 0.05 * (high - low)
    assert 0.45 < (determinant < 0).mean() < 0.55


def test_randomise_channels_changes_channels_and_keeps_their_mean_and_deviation():
    generator = np.random.default_rng(2)
    patch = np.stack([ndimage.gaussian_filter(generator.normal(size=(64, 64)), 3) for _ in range(2)], axis=-1)
    patch = (5 * patch + 0.3).astype(np.float32)
    changed = randomise_channels(patch, 1.0, np.random.default_rng(3))
    assert changed.dtype == np.float32
    for channel in (0, 1):
        one, other = patch[..., channel], changed[..., channel]
        assert np.abs(one - other).max() > 0.1
        assert other.mean() == pytest.approx(one.mean(), abs=1e-4)
        assert other.std() == pytest.approx(one.std(), rel=1e-3)
    assert np.array_equal(changed, randomise_channels(patch, 1.0, np.random.default_rng(3)))
    assert np.array_equal(patch, randomise_channels(patch, 0.0, np.random.default_rng(3)))


def test_randomise_channels_keeps_an_empty_patch_finite():
    empty = np.zeros((32, 32, 1), np.float32)
    assert np.array_equal(empty, randomise_channels(empty, 1.0, np.random.default_rng(1)))
