"""Tab-separated tables as people and spreadsheets write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.cohort.table import encoding_warning, read_table, whole_number_as_text
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
        (b"PK\x03\x04\x14\0\x06\0", "not a text file"),
        (b"participant_id\tfold\np1\t" + b"x" * 200_000, "line 2: a cell has more than 10000 characters"),
        (b'participant_id\tfold\np1\t1\np2\t"2\np3\t3\n', "line 3: a cell contains a line break or an open quote"),
        (b'participant_id\tfold\t"site\np1\t1\tX\np2\t2\t"Y"\np3\t3\tX\n', "line 1: a cell contains a line break"),
        (b'participant_id\t"fold\tsite"\np1\t1\tX\n', "line 1: a cell contains a tab or an open quote"),
        (b'participant_id\tfold\tsite\np1\t"1\tX', "line 2: a cell contains a line break or an open quote"),
        (b'participant_id\tfold\tsite\np1\t"1\tX"\n', "line 2: a cell contains a tab or an open quote"),
        (
            b"participant_id\tfold\np1\t\t1\n",
            "line 2: cell “1” is beyond the 2 columns of the header; remove the surplus tab",
        ),
        (b"participant_id\tfold\t\np1\t\t1\n", "line 2: cell “1” is beyond the 2 columns"),
        (
            b"participant_id\t\tfold\np1\tx\t1\n",
            "line 2: cell “x” is in column 2, which has no name; name the column in the header",
        ),
        (b"participant_id\t\tfold\n\tx\t\n", "line 2: cell “x” is in column 2, which has no name"),
        (b'participant_id\tfold\n"p1\t1\np2\t2\np3"\t3\n', "line 2: a cell contains a line break or an open quote"),
        (b'participant_id\tfold\n"p1"x\t1\n', "line 2: a cell contains a tab or an open quote"),
        (b"participant_id\tFold \tfold\np1\t1\t1\n", "column fold appears twice"),
    ],
)
def test_read_table_rejects_other_formats_in_one_sentence(tmp_path, content, message):
    file = tmp_path / "table.tsv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(file, ["participant_id", "fold"])
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


SAVED = "\n\t\t\n Participant_ID \tT2W\u00a0\tsite\n\np1\t a.nii.gz \tMálaga\u200b\n \t \t\np2\tb.nii.gz\t\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_read_table_reads_one_table_in_every_encoding_and_line_end(tmp_path, encoding, line_end):
    file = tmp_path / "table.tsv"
    text = SAVED.replace("\u200b", "") if encoding == "cp1252" else SAVED
    file.write_bytes(text.replace("\n", line_end).encode(encoding))
    assert read_table(file, ["participant_id"]) == [
        (5, {"participant_id": "p1", "t2w": "a.nii.gz", "site": "Málaga"}),
        (7, {"participant_id": "p2", "t2w": "b.nii.gz", "site": ""}),
    ]
    warning = f"{file}: not Unicode text, read as Windows-1252; if letters with accents are wrong, save it as UTF-8"
    assert encoding_warning(file) == (warning if encoding == "cp1252" else "")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("12.0", "12"),
        ("012,00", "012"),
        ("3.", "3"),
        ("7", "7"),
        ("1.5", "1.5"),
        ("p1.0", "p1.0"),
        ("", ""),
        ("1.000", "1.000"),
        ("12,000", "12,000"),
        ("5.0000", "5"),
    ],
)
def test_whole_number_as_text_drops_the_decimals_of_whole_numbers_only(cell, text):
    assert whole_number_as_text(cell) == text


CELLS = st.text(alphabet='ab"\u00a0 \u200b', max_size=4)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_read_table_loses_no_row_whatever_quotes_there_are(rows, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "quotes.tsv"
    file.write_text("one\ttwo\n" + "".join(f"{one}\t{two}\n" for one, two in rows), encoding="utf-8")
    try:
        found = read_table(file)
    except InputError as error:
        assert "open quote" in str(error)
    else:
        filled = [
            number for number, row in enumerate(rows, start=2) if any(set(cell) - set(' "\u00a0\u200b') for cell in row)
        ]
        assert set(filled) <= {number for number, _ in found}


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=80), st.text(max_size=60).map(str.encode)))
def test_read_table_of_any_bytes_is_a_table_or_ends_in_one_sentence(content, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "bytes.tsv"
    file.write_bytes(b"participant_id\tfold\n" + content)
    try:
        rows = read_table(file, ["participant_id", "fold"])
    except InputError as error:
        assert str(error).startswith(str(file))
        assert "\n" not in str(error)
    else:
        assert all(set(row) == {"participant_id", "fold"} for _, row in rows)
