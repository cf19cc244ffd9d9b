"""Training samples: the same from the same seed, images and structures in one place, and random in what they should be."""

import numpy as np
import pytest

from lumbarseg.synthesis.contrast import NAMES, draw_signals, paint_image
from lumbarseg.synthesis.samples import SampleShape, draw_places, draw_sample
from lumbarseg.synthesis.tissue_slices import read_slice, write_phantom

SHAPE = SampleShape(("T2w", "T1w"), 64, 3.0, 3.0)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("phantoms"), 1, 1, slices=3, side=96, pixel=3.0)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_draw_sample_depends_on_its_generator_only(phantom, strength):
    images, structures = draw_sample(phantom, 1, SHAPE, strength, np.random.default_rng(3))
    assert images.shape == (64, 64, 2)
    assert images.dtype == np.float32
    assert structures.shape == (64, 64)
    assert structures.dtype == np.uint8
    assert np.isfinite(images).all()
    again = draw_sample(phantom, 1, SHAPE, strength, np.random.default_rng(3))
    assert np.array_equal(images, again[0])
    assert np.array_equal(structures, again[1])
    assert not np.array_equal(images, draw_sample(phantom, 1, SHAPE, strength, np.random.default_rng(4))[0])


def test_draw_sample_shows_the_structures_where_the_image_has_them(phantom):
    # Subcutaneous fat is brighter than muscle in T2w and T1w images.
    differences = []
    for seed in range(24):
        images, labels = draw_sample(phantom, 1, SHAPE, 0.0, np.random.default_rng(seed))
        fat, muscle = images[labels == 5], images[labels == 11]
        if min(len(fat), len(muscle)) > 8:
            differences.append(fat.mean() - muscle.mean())
    assert len(differences) > 5
    assert np.median(differences) > 0.2


def test_paint_image_makes_implants_and_cysts_background(phantom):
    weights, structures = read_slice(phantom, 1)
    signals = draw_signals(np.random.default_rng(1), ("T2w",), 0.0)
    changed = 0
    for seed in range(60):
        image, left = paint_image(weights, structures, signals, 3.0, np.random.default_rng(seed))
        lost = left != structures
        assert (left[lost] == 0).all()
        assert np.isfinite(image).all()
        changed += lost.any()
    assert 0 < changed < 20


def test_draw_signals_are_of_spin_echoes_or_of_nothing():
    generator = np.random.default_rng(1)
    echoes = np.stack([draw_signals(generator, ("T2w", "T1w"), 0.0) for _ in range(40)])
    assert echoes.shape == (40, 2, len(NAMES))
    fluid, fat = NAMES.index("cerebrospinal fluid"), NAMES.index("fat")
    assert (echoes[:, 0, fluid] > echoes[:, 1, fluid]).all()  # bright in T2w, dark in T1w
    assert (echoes[:, 1, fat] > echoes[:, 1, fluid]).all()
    arbitrary = np.stack([draw_signals(generator, ("T2w",), 1.0) for _ in range(200)])
    assert abs(arbitrary.mean(axis=0) - 0.515).max() < 0.1
    assert arbitrary.min() > 0


def test_draw_places_without_randomisation_keeps_the_pixel_size():
    angles, steps = [], []
    for seed in range(50):
        places = draw_places(np.random.default_rng(seed), (96, 96), SampleShape(("T2w",), 64, 1.5, 3.0), 0.0)
        down = places[:, 1, 0] - places[:, 0, 0]
        steps.append(np.hypot(*down))
        angles.append(np.degrees(np.arctan2(down[1], down[0])))
    assert np.mean(steps) == pytest.approx(0.5, rel=0.05)
    assert np.std(angles) < 8
