"""Reading and writing of ITK-SNAP's label descriptions."""

import pytest

from lumbarseg.errors import InputError
from lumbarseg.itksnap import read_descriptions, with_described_values, write_descriptions
from lumbarseg.labels import LabelTable

CLASSES = LabelTable(
    [
        {"id": 0, "name": "Background", "colour": "#000000"},
        {"id": 1, "name": "Vert", "colour": "#e8c97d"},
        {"id": 2, "name": "Epi-Fat", "colour": "#ff9d1e"},
    ]
)
# as ITK-SNAP 4 exports it
EXPORTED = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    3   255    0    0        1  1  1    "vert "
    4     0  255    0     0.75  1  0    "Epi-Fat"
    9     0    0  255        1  1  1    "Cyst"
"""


def test_write_descriptions_is_read_back_by_read_descriptions(tmp_path):
    write_descriptions(tmp_path / "labels.txt", CLASSES)
    assert read_descriptions(tmp_path / "labels.txt") == {0: "Clear Label", 1: "Vert", 2: "Epi-Fat"}
    lines = (tmp_path / "labels.txt").read_text().splitlines()
    assert lines[1] == "# ITK-SnAP Label Description File"
    assert lines[-1].split() == ["2", "255", "157", "30", "1", "1", "1", '"Epi-Fat"']
    assert lines[-3].split()[4:7] == ["0", "0", "0"]


def test_write_descriptions_uses_the_labels_of_users_and_leaves_out_classes_without_one(tmp_path):
    write_descriptions(tmp_path / "labels.txt", CLASSES, {0: 0, 2: 40})
    assert read_descriptions(tmp_path / "labels.txt") == {0: "Clear Label", 40: "Epi-Fat"}


def test_with_described_values_assigns_labels_by_name(tmp_path):
    (tmp_path / "labels.txt").write_text(EXPORTED)
    described = with_described_values(CLASSES, read_descriptions(tmp_path / "labels.txt"), "labels.txt")
    assert [tissue.values for tissue in described] == [(0,), (3,), (4,)]
    with pytest.raises(InputError, match=r"mask\.nii\.gz: mask values 9 in 1 voxels"):
        described.to_classes([0, 3, 9], "mask.nii.gz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (EXPORTED + "not a label\n", r"labels\.txt, line 10: “not a label” is not a label"),
        (EXPORTED + f'{"9" * 5000} 0 0 0 1 1 1 "x"', r"labels\.txt, line 10: “9+ .*” is not a label"),
        (EXPORTED + EXPORTED.splitlines()[-1], r"line 10: label 9 is described twice"),
        (
            EXPORTED.replace("vert", "bone").replace("Epi-Fat", "fat"),
            "no label has the name of a class .*Clear Label, bone , fat, Cyst",
        ),
    ],
)
def test_read_descriptions_rejects_files_that_do_not_fit(tmp_path, content, message):
    (tmp_path / "labels.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        with_described_values(CLASSES, read_descriptions(tmp_path / "labels.txt"), "labels.txt")
    with pytest.raises(InputError, match="label descriptions not found"):
        read_descriptions(tmp_path / "none.txt")
