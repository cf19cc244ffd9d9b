"""Measures of a label map, compared with plain loops, shapes of known size and the phantom's anatomy."""

import functools

import nibabel as nib
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.orientation import ORIENTATIONS, affine_of
from factories.workflow import ROOT
from lumbarseg.deployment.morphometry import COLUMNS, DICTIONARY, disc_heights, measure, separate_discs
from lumbarseg.geometry import from_sagittal_view, sagittal_spacing, sagittal_view
from lumbarseg.labels import LabelTable
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.section import label_section
from lumbarseg.phantom.series import anatomy_from_world, label_volume, make_grid, to_anatomy
from lumbarseg.phantom.spine import build_spine

TABLE = LabelTable(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["classes"])
IDS = {name: place for place, name in enumerate(TABLE.names)}


def value_of(measures, what, tissue, plane=None, disc=None):
    rows = measures[(measures["measure"] == what) & (measures["class_name"] == tissue)]
    rows = rows[rows["slice"].isna() if plane is None else rows["slice"] == plane]
    rows = rows[rows["disc"].isna() if disc is None else rows["disc"] == disc]
    assert len(rows) == 1
    return rows["value"].iloc[0]


@given(st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_measure_counts_pixels_for_areas_volumes_and_fat_fraction(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 12, (3, 7, 8)).astype(np.uint8)
    spacing = (4.5, 0.7, 0.8)
    measures = measure(labels, generator.uniform(1, 2, labels.shape), spacing, TABLE)
    assert list(measures.columns) == list(COLUMNS)
    for tissue in TABLE.foreground_ids:
        total = 0
        for plane in range(3):
            pixels = sum(int(value) == tissue for value in labels[plane].flat)
            total += pixels
            assert value_of(measures, "area", TABLE.names[tissue], plane) == pytest.approx(pixels * 0.7 * 0.8)
            volume = value_of(measures, "volume", TABLE.names[tissue], plane)
            assert volume == pytest.approx(pixels * 0.7 * 0.8 * 4.5 / 1000)
        assert value_of(measures, "volume", TABLE.names[tissue]) == pytest.approx(total * 0.7 * 0.8 * 4.5 / 1000)
    fat, muscle = ((labels == IDS[name]).sum() for name in ("IM-Fat", "Muscle"))
    assert value_of(measures, "fat_fraction", "Muscle") == pytest.approx(fat / (fat + muscle))
    assert "Background" not in set(measures["class_name"])


def rectangle(shape, spacing, centre, length, height, degrees):
    """The pixels of a tilted rectangle; `length` runs from anterior to posterior at 0 degrees."""
    rows, columns = np.indices(shape) * np.reshape(spacing, (2, 1, 1)) - np.reshape(centre, (2, 1, 1))
    angle = np.radians(degrees)
    along, across = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    return (np.abs(along) <= length / 2) & (np.abs(across) <= height / 2)


@given(
    st.floats(2, 50),
    st.sampled_from([-1, 1]),
    st.floats(6, 14),
    st.floats(28, 40),
    st.sampled_from([(0.5, 0.5), (0.6, 0.4)]),
)
@settings(max_examples=40, deadline=None)
def test_disc_heights_are_perpendicular_to_the_disc(degrees, side, height, length, spacing):
    centre = (160 * spacing[0] / 2, 160 * spacing[1] / 2)
    found = disc_heights(rectangle((160, 160), spacing, centre, length, height, side * degrees), spacing)
    # Drawn on a grid, a disc is a row of pixels higher or lower than it was.
    for value in found.values():
        assert value == pytest.approx(height, abs=spacing[0] + 0.02 * height)


def test_disc_heights_distinguish_anterior_and_posterior():
    section = np.zeros((60, 60), bool)
    for column in range(10, 50):
        section[10 : 30 - column // 4, column] = True
    found = disc_heights(section, (1.0, 1.0))
    assert found["disc_height_anterior"] > found["disc_height_middle"] > found["disc_height_posterior"]
    assert found["disc_height"] == pytest.approx(section.sum() / 40, rel=0.1)


def test_separate_discs_orders_from_the_lowest_and_drops_fragments():
    mask = np.zeros((5, 60, 30), bool)
    for row in (10, 30, 50):
        mask[1:4, row : row + 4, 5:25] = True
    mask[0, 58, 2] = True
    parts, discs = separate_discs(mask)
    assert [int(np.argwhere(parts == disc)[:, 1].min()) for disc in discs] == [50, 30, 10]
    assert separate_discs(np.zeros((2, 3, 4), bool))[1] == []


def test_separate_discs_keeps_the_largest_of_very_many_components():
    mask = np.zeros((3, 100, 100), bool)
    mask[::2, ::2, ::2] = True
    mask[0, 50, 50:53] = True
    parts, discs = separate_discs(mask)
    assert len(discs) == 200
    assert parts[0, 50, 52] in discs


def test_measure_compares_disc_signal_with_the_canal_at_its_height():
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, 5:10, 5:25], labels[0, 25:30, 5:25] = IDS["Int-Disc"], IDS["Int-Disc"]
    labels[0, :, 28:32] = IDS["Spinal-Cavity"]
    t2w = np.zeros(labels.shape)
    t2w[0, :20], t2w[0, 20:] = 100, 300  # as a surface coil shades
    t2w[labels == IDS["Int-Disc"]] *= 0.5
    measures = measure(labels, t2w, (4, 1, 1), TABLE)
    assert value_of(measures, "disc_signal_ratio", "Int-Disc", disc=1) == pytest.approx(0.5)
    assert value_of(measures, "disc_signal_ratio", "Int-Disc", 0, disc=2) == pytest.approx(0.5)
    labels[labels == IDS["Spinal-Cavity"]] = 0
    assert "disc_signal_ratio" not in set(measure(labels, t2w, (4, 1, 1), TABLE)["measure"])


def test_measure_handles_empty_label_maps_and_other_classes():
    empty = measure(np.zeros((2, 8, 8), np.uint8), np.ones((2, 8, 8)), (4, 1, 1), TABLE)
    assert set(empty["measure"]) == {"area", "volume"}
    assert (empty["value"] == 0).all()
    other = LabelTable([{"id": 0, "name": "a", "colour": "#000000"}, {"id": 1, "name": "b", "colour": "#ffffff"}])
    measures = measure(np.ones((2, 8, 8), np.uint8), np.ones((2, 8, 8)), (4, 1, 1), other)
    assert value_of(measures, "volume", "b") == pytest.approx(2 * 64 * 4 / 1000)


def test_dictionary_describes_every_column_and_measure():
    labels = np.tile(np.arange(12, dtype=np.uint8).repeat(4), (2, 8, 1))
    measures = measure(labels, np.ones(labels.shape), (4, 1, 1), TABLE)
    assert set(DICTIONARY) == {"participant_id", "session_id", *COLUMNS}
    assert set(DICTIONARY["measure"]["Levels"]) == set(measures["measure"])


@functools.cache
def phantom():
    """A phantom's labels and grid, and the volumes of its anatomy in the slices, ml, from pixels three times as fine."""
    patient = draw_patient(2, "phantom02", 1, [320], (8, 8))
    spine, grid, transform = build_spine(patient.body), make_grid(patient, "T2w"), anatomy_from_world(patient, "T2w")
    fine, counts = 3, np.zeros(12)
    for index in range(grid.slices):
        plane = grid.plane(index)
        plane[:, 2] += (plane[:, 0] + plane[:, 1]) * (0.5 / fine - 0.5)
        plane[:, :2] /= fine
        section = label_section(spine, to_anatomy(plane, transform), (grid.matrix * fine, grid.matrix * fine))
        counts += np.bincount(section.ravel(), minlength=12)
    return label_volume(patient, spine), grid.affine, counts * abs(np.linalg.det(grid.affine[:3, :3])) / fine**2 / 1000


@pytest.mark.parametrize("codes", ORIENTATIONS[::9])
def test_measure_agrees_with_the_phantoms_anatomy_within_two_per_cent(codes):
    labels, affine, truth = phantom()
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(tuple(codes)))
    image = nib.Nifti1Image(labels, affine).as_reoriented(turn)
    view = sagittal_view(np.asarray(image.dataobj), image.affine)
    measures = measure(view, np.ones(view.shape), sagittal_spacing(image.affine), TABLE)
    for tissue in TABLE.foreground_ids:
        assert value_of(measures, "volume", TABLE.names[tissue]) == pytest.approx(truth[tissue], rel=0.02), tissue


@pytest.mark.parametrize("codes", ORIENTATIONS[::5])
def test_measure_is_independent_of_the_orientation_of_the_file(codes):
    affine = affine_of(codes)
    view = np.zeros((3, 50, 50), np.uint8)
    view[1] = rectangle((50, 50), (0.6, 0.7), (15, 17), 25, 8, 20) * np.uint8(IDS["Int-Disc"])
    again = sagittal_view(from_sagittal_view(view, affine), affine)
    measures = measure(again, np.ones(view.shape), sagittal_spacing(affine), TABLE)
    assert value_of(measures, "disc_height", "Int-Disc", disc=1) == pytest.approx(8, abs=0.35)
