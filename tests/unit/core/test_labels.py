"""The label table."""

import numpy as np
import pytest

from lumbarseg.errors import InputError
from lumbarseg.labels import LabelTable

ENTRIES = [
    {"id": 0, "name": "Background", "colour": "#000000"},
    {"id": 1, "name": "Vert", "colour": "#ff8000", "values": [1, 2, 20]},
    {"id": 2, "name": "Int-Disc", "colour": "#0000ff", "values": [100]},
]


def test_to_classes_maps_mask_values_to_their_classes():
    mask = np.array([[0, 1, 2], [20, 100, 0]], np.int16)
    assert LabelTable(ENTRIES).to_classes(mask, "mask.nii.gz").tolist() == [[0, 1, 1], [1, 2, 0]]


def test_to_classes_names_unknown_values_with_file_and_voxel_count():
    with pytest.raises(InputError, match=r"mask\.nii\.gz: mask values 7 in 2 voxels belong to no class"):
        LabelTable(ENTRIES).to_classes(np.array([0, 7, 7, 1]), "mask.nii.gz")


def test_foreground_ids_are_all_classes_but_the_background():
    assert LabelTable(ENTRIES).foreground_ids == [1, 2]
    assert LabelTable(ENTRIES, background=2).foreground_ids == [0, 1]


def test_colours_are_rgb():
    assert LabelTable(ENTRIES).colours().tolist() == [[0, 0, 0], [255, 128, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 5}, "not 0, 1, 2"),
        ({"name": "Vert"}, "the name Vert is used twice"),
        ({"values": [1]}, "the mask value 1 is used twice"),
    ],
)
def test_label_table_rejects_inconsistent_entries(change, message):
    with pytest.raises(InputError, match=message):
        LabelTable([*ENTRIES[:2], ENTRIES[2] | change])


def test_label_table_takes_and_rejects_many_values_without_delay():
    values = list(range(100, 60100))
    entries = [
        {"id": 0, "name": "a", "colour": "#000000"},
        {"id": 1, "name": "b", "colour": "#ffffff", "values": values},
    ]
    assert LabelTable(entries).mask_values() == {0: 0, 1: 100}
    entries[1]["values"] = values * 2
    with pytest.raises(InputError, match=r"the mask value (\d+, ){7}\d+ … is used twice"):
        LabelTable(entries)


def test_label_table_rejects_a_background_that_is_no_class():
    with pytest.raises(InputError, match="background: 3 is none of the class ids"):
        LabelTable(ENTRIES, background=3)


def test_to_mask_values_is_read_back_by_to_classes():
    table, ids = LabelTable(ENTRIES), np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    values = table.to_mask_values(ids, "a")
    assert values.tolist() == [[0, 1, 100], [100, 1, 0]]
    assert values.dtype == np.uint8
    assert (table.to_classes(values, "a") == ids).all()


def test_to_mask_values_holds_large_and_negative_values():
    table = LabelTable([ENTRIES[0], ENTRIES[1] | {"values": [70000]}, ENTRIES[2] | {"values": [-1]}])
    assert table.to_mask_values(np.array([0, 1, 2], np.uint8), "a").tolist() == [0, 70000, -1]


def test_to_mask_values_rejects_a_class_without_a_value_only_where_it_occurs():
    table = LabelTable([*ENTRIES[:2], ENTRIES[2] | {"values": []}])
    assert table.to_mask_values(np.array([0, 1], np.uint8), "best.zip").tolist() == [0, 1]
    with pytest.raises(InputError, match=r"best\.zip: no label means Int-Disc; add it, or name the class in"):
        table.to_mask_values(np.array([0, 2], np.uint8), "best.zip")
