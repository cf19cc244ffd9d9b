"""Phantoms to train on: weights give the image of any contrast, and the structures are those of the image."""

import numpy as np
import pytest

from lumbarseg.errors import InputError
from lumbarseg.phantom import section
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.signal import TISSUES, spin_echo
from lumbarseg.phantom.soft_tissue import BELLY, CLASSES
from lumbarseg.phantom.spine import build_spine
from lumbarseg.synthesis import tissue_slices
from lumbarseg.synthesis.tissue_slices import phantom_slices, read_slice, write_phantom

SMALL = {"slices": 3, "side": 96, "pixel": 3.0}


@pytest.fixture(scope="module")
def spine():
    return build_spine(draw_patient(1, "phantom1", 5, (320,), (8, 8)).body)


@pytest.fixture(scope="module")
def plane():
    """A sagittal plane through the middle: rows downwards, columns to the back, 3 mm."""
    return np.array([[0.0, 0.0, 0.0], [0.0, -3.0, 150.0], [-3.0, 0.0, 140.0]])


@pytest.mark.parametrize(("repetition", "echo"), [(4000.0, 100.0), (500.0, 10.0)])
def test_weight_section_times_signals_is_the_signal_section(spine, plane, repetition, echo):
    signals = {name: spin_echo(tissue, repetition, echo) for name, tissue in TISSUES.items()}
    thickness = np.array([4.0, 0.0, 0.0])
    weights = section.weight_section(spine, plane, (96, 80), thickness)
    assert weights.shape == (len(TISSUES), 96, 80)
    expected = section.signal_section(spine, plane, (96, 80), signals, thickness)
    np.testing.assert_allclose(np.tensordot(list(signals.values()), weights, 1), expected, atol=2e-6)


def test_structure_section_has_arch_and_belly_apart_and_the_classes_of_the_mask(spine, plane):
    structures = section.structure_section(spine, plane, (96, 80))
    assert np.array_equal(CLASSES[structures], section.label_section(spine, plane, (96, 80)))
    assert set(np.unique(structures)) >= {0, 1, 2, 3, 4, 12, 13}
    columns = np.indices(structures.shape)[1]
    assert columns[structures == BELLY].mean() < columns[structures == 1].mean() < columns[structures == 12].mean()


def test_phantom_slices_depend_on_number_and_seed_only():
    weights, structures = phantom_slices(3, 1, **SMALL)
    assert weights.shape == (3, len(TISSUES), 96, 96)
    assert structures.shape == (3, 96, 96)
    again = phantom_slices(3, 1, **SMALL)
    assert np.array_equal(weights, again[0])
    assert np.array_equal(structures, again[1])
    assert not np.array_equal(structures, phantom_slices(4, 1, **SMALL)[1])
    assert not np.array_equal(structures, phantom_slices(3, 2, **SMALL)[1])


def test_read_slice_returns_what_was_written_to_a_step(tmp_path):
    weights, structures = read_slice(write_phantom(tmp_path, 7, 1, **SMALL), 1)
    expected, expected_structures = phantom_slices(7, 1, **SMALL)
    np.testing.assert_allclose(weights, expected[1] * tissue_slices.WEIGHT_STEP, rtol=1e-6)
    assert np.array_equal(structures, expected_structures[1])
    with pytest.raises(InputError, match="array file not found"):
        read_slice(tmp_path / "phantom-000008", 0)
