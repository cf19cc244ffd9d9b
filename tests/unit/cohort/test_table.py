"""Tab-separated tables as people and spreadsheets write them."""

import pytest

from lumbarseg.cohort.table import read_table
from lumbarseg.errors import InputError


def test_read_table_accepts_what_spreadsheets_add(tmp_path):
    file = tmp_path / "table.tsv"
    content = '\ufeff Participant_ID\tT2W\tsite\r\n\r\np1\t a.nii.gz \t"Valencia, north"\r\n\t\t\r\np2\tb.nii.gz\r\n\t\t\t\r\n'
    file.write_bytes(content.encode())
    assert read_table(file, ["participant_id"]) == [
        (3, {"participant_id": "p1", "t2w": "a.nii.gz", "site": "Valencia, north"}),
        (5, {"participant_id": "p2", "t2w": "b.nii.gz", "site": ""}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"participant_id;fold\np1;1\n", "columns are separated by “;”; save it as tab-separated text"),
        (b"participant_id,fold\np1,1\n", "columns are separated by “,”"),
        (b"participant_id\nfold\n", r"no column fold \(columns: participant_id\); add it"),
        (b"", r"no column participant_id, fold \(columns: none\)"),
        (b"participant_id\tfold\tfold\np1\t1\t2\n", "column fold appears twice"),
        ("participant_id\tfold\np1\tMálaga\n".encode("latin-1"), "not UTF-8 text"),
        ("participant_id\tfold\np1\t1\n".encode("utf-16"), "not UTF-8 text"),
        (b'participant_id\tfold\np1\t1\np2\t"2\np3\t3\n', "a cell contains a line break or an open quote"),
    ],
)
def test_read_table_rejects_other_formats_in_one_sentence(tmp_path, content, message):
    file = tmp_path / "table.tsv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(file, ["participant_id", "fold"])
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
