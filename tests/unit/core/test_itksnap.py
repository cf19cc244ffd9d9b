"""ITK-SNAP's label descriptions, read and written."""

import pytest

from lumbarseg.errors import InputError
from lumbarseg.itksnap import read_descriptions, with_described_values, write_descriptions
from lumbarseg.labels import LabelTable

CLASSES = [
    {"id": 0, "name": "Background", "colour": "#000000"},
    {"id": 1, "name": "Vert", "colour": "#e8c97d"},
    {"id": 2, "name": "Epi-Fat", "colour": "#ff9d1e"},
]
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


def test_what_is_written_is_read_again_with_the_colours_of_the_table(tmp_path):
    write_descriptions(tmp_path / "labels.txt", LabelTable(CLASSES))
    assert read_descriptions(tmp_path / "labels.txt") == {0: "Clear Label", 1: "Vert", 2: "Epi-Fat"}
    lines = (tmp_path / "labels.txt").read_text().splitlines()
    assert lines[1] == "# ITK-SnAP Label Description File"
    assert lines[-1].split() == ["2", "255", "157", "30", "1", "1", "1", '"Epi-Fat"']
    assert lines[-3].split()[4:7] == ["0", "0", "0"]


def test_labels_mean_the_classes_of_their_names(tmp_path):
    (tmp_path / "labels.txt").write_text(EXPORTED)
    described = with_described_values(CLASSES, 0, read_descriptions(tmp_path / "labels.txt"), "labels.txt")
    assert [entry["values"] for entry in described] == [[0], [3], [4]]
    with pytest.raises(InputError, match=r"mask\.nii\.gz: .* found 9 in 1 voxels"):
        LabelTable(described).to_classes([0, 3, 9], "mask.nii.gz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (EXPORTED + "not a label\n", r"labels\.txt, line 10: expected a label of its own"),
        (EXPORTED + EXPORTED.splitlines()[-1], r"line 10: expected a label of its own"),
        (EXPORTED.replace("vert", "bone").replace("Epi-Fat", "fat"), "found Clear Label, bone , fat, Cyst"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(tmp_path, content, message):
    (tmp_path / "labels.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        with_described_values(CLASSES, 0, read_descriptions(tmp_path / "labels.txt"), "labels.txt")
    with pytest.raises(InputError, match="found no such file"):
        read_descriptions(tmp_path / "none.txt")
