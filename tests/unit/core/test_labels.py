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


def test_mask_values_become_the_classes_that_name_them():
    mask = np.array([[0, 1, 2], [20, 100, 0]], np.int16)
    assert LabelTable(ENTRIES).to_classes(mask, "mask.nii.gz").tolist() == [[0, 1, 1], [1, 2, 0]]


def test_an_unknown_mask_value_is_named_with_its_file_and_number_of_voxels():
    with pytest.raises(InputError, match=r"mask\.nii\.gz: expected only .*found 7 in 2 voxels"):
        LabelTable(ENTRIES).to_classes(np.array([0, 7, 7, 1]), "mask.nii.gz")


def test_foreground_ids_are_all_classes_but_the_background():
    assert LabelTable(ENTRIES).foreground_ids == [1, 2]
    assert LabelTable(ENTRIES, background=2).foreground_ids == [0, 1]


def test_colours_are_read_as_red_green_blue():
    assert LabelTable(ENTRIES).colours().tolist() == [[0, 0, 0], [255, 128, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 5}, "ids must be 0, 1, 2"),
        ({"name": "Vert"}, "the name Vert stands twice"),
        ({"values": [1]}, "the mask value 1 stands twice"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        LabelTable([*ENTRIES[:2], ENTRIES[2] | change])


def test_a_background_that_is_no_class_is_refused():
    with pytest.raises(InputError, match="background: expected one of the ids"):
        LabelTable(ENTRIES, background=3)
