"""The sheet of sessions."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.cohort.sheet import read_sheet
from lumbarseg.errors import InputError

HEADER = "participant_id\tsession_id\tt2w\tt1w\tmask\tage\tsex\tweight\tsite"


def write_sheet(folder, *rows, header=HEADER):
    for name in ("t2w.nii.gz", "t1w.nii.gz", "mask.nii.gz"):
        (folder / name).touch()
    sheet = folder / "sessions.tsv"
    sheet.write_text("\n".join([header, *rows]) + "\n")
    return sheet


GOOD = "sub-A1\t01\tt2w.nii.gz\tt1w.nii.gz\tmask.nii.gz\t53\tF\t74.1\tValencia"


def test_read_sheet_takes_paths_relative_to_the_sheet(tmp_path):
    (session,) = read_sheet(write_sheet(tmp_path, GOOD), ["T2w", "T1w"])
    assert session.label == "sub-A1_ses-01"
    assert session.t2w == str(tmp_path / "t2w.nii.gz")
    assert session.demographics == {"age": "53", "sex": "F", "weight": "74.1", "site": "Valencia"}


def test_read_sheet_needs_no_t1w_column_for_t2w_studies(tmp_path):
    sheet = write_sheet(tmp_path, "A1\t01\tt2w.nii.gz\t", header="participant_id\tsession_id\tt2w\tmask")
    assert read_sheet(sheet, ["T2w"])[0].t1w == ""


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([GOOD], HEADER.replace("\tt2w", ""), r"no column t2w \(columns: participant_id"),
        ([], HEADER, "no sessions below the header"),
        ([GOOD.replace("t1w.nii.gz", "")], HEADER, "line 2: no T1w image for patient A1"),
        ([GOOD.replace("mask.nii.gz", "gone.nii.gz")], HEADER, r"line 2: `mask` not found at .*gone\.nii\.gz"),
        ([GOOD, "", GOOD], HEADER, "line 4: sub-A1_ses-01 is already in line 2"),
        ([GOOD.replace("sub-A1", "A_1")], HEADER, "participant_id “A_1” is not made of letters and digits"),
        ([GOOD, GOOD.replace("sub-A1", "a1")], HEADER, "line 3: sub-a1 and sub-A1 in line 2 differ in capital letters or leading zeros alone; write both alike"),
        ([GOOD.replace("A1", "007"), GOOD.replace("A1", "7")], HEADER, "line 3: sub-7 and sub-007 in line 2 differ in capital"),
        ([GOOD, GOOD.replace("\t01\t", "\t1\t")], HEADER, "line 3: sub-A1_ses-1 and sub-A1_ses-01 in line 2 differ in capital"),
        ([GOOD.replace("A1", "x" * 65)], HEADER, "line 2: participant_id “sub-xxx.*…” has more than 64 characters; shorten it"),
        ([GOOD.replace("mask.nii.gz", ".")], HEADER, r"line 2: `mask` is the folder .*; name the file of the mask"),
        ([GOOD.replace("mask.nii.gz", "t2w.nii.gz")], HEADER, r"line 2: `t2w` and `mask` are one file, .*t2w\.nii\.gz; fix the paths"),
        ([GOOD.replace("t1w.nii.gz", "./t2w.nii.gz")], HEADER, r"line 2: `t2w` and `t1w` are one file"),
        ([GOOD.replace("t2w.nii.gz", "/dev/null")], HEADER, r"line 2: `t2w` at /dev/null is neither a file nor a folder; fix the path"),
        ([GOOD.replace("t2w.nii.gz", "x" * 5000)], HEADER, r"line 2: `t2w` not found at .* \(File name too long\); fix the path"),
        ([GOOD.replace("t2w.nii.gz", "mask.nii.gz/t2")], HEADER, r"line 2: `t2w` not found at .* \(Not a directory\); fix the path"),
        ([GOOD.replace("\t53\t", "\t-53\t")], HEADER, "line 2: age “-53” is not a number of years from 0 to 120; correct it, or leave"),
        ([GOOD.replace("\tF\t", "\t=F\t")], HEADER, "line 2: sex “=F” is not F, M or O; correct it, or leave the cell empty if it is"),
        ([GOOD.replace("74.1", "1e30")], HEADER, "line 2: weight “1e30” is not a number of kg from 0.3 to 500; correct it"),
        (['"' + GOOD, GOOD.replace("A1", "A2"), GOOD.replace("A1", "A3") + '"'], HEADER, "line 2: a cell contains a line break or"),
        (
            [GOOD.replace("sub-A1", "12,000")],
            HEADER,
            r"“12,000” is not .*; rename it \(as 12 or 12000, whichever is meant\)",
        ),
    ],
)  # fmt: skip
def test_read_sheet_reports_mistakes_in_one_sentence(tmp_path, rows, header, message):
    sheet = write_sheet(tmp_path, *rows, header=header)
    with pytest.raises(InputError, match=message) as caught:
        read_sheet(sheet, ["T2w", "T1w"])
    assert str(sheet) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["t2w", "mask"])
def test_read_sheet_names_a_file_that_may_not_be_read_with_its_line(tmp_path, monkeypatch, column):
    # Not by the file's mode, because root, who may read everything, runs tests too.
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith(f"{column}.nii.gz"))
    with pytest.raises(
        InputError, match=rf"sessions\.tsv, line 2: no permission to read `{column}` at .*{column}\.nii"
    ):
        read_sheet(write_sheet(tmp_path, GOOD), ["T2w", "T1w"])


def test_read_sheet_reports_a_missing_sheet(tmp_path):
    with pytest.raises(InputError, match="sheet of sessions not found"):
        read_sheet(tmp_path / "sessions.tsv", ["T2w"])


def test_read_sheet_reads_what_spreadsheets_make_of_ids_and_numbers(tmp_path):
    sheet = write_sheet(tmp_path, "7.0\t1.0\tt2w.nii.gz\tt1w.nii.gz\tmask.nii.gz\t53.0\tF\t74,1\tMálaga")
    text = sheet.read_text()
    for encoding in ("utf-8", "utf-16", "cp1252"):
        sheet.write_bytes(text.encode(encoding))
        (session,) = read_sheet(sheet, ["T2w", "T1w"])
        assert session.label == "sub-7_ses-1"
        assert session.demographics == {"age": "53.0", "sex": "F", "weight": "74.1", "site": "Málaga"}


def test_read_sheet_names_the_encoding_if_a_path_with_accents_is_not_found(tmp_path):
    (tmp_path / "Málaga.nii.gz").touch()
    sheet = write_sheet(tmp_path, GOOD.replace("t2w.nii.gz", "Málaga.nii.gz"))
    sheet.write_bytes(sheet.read_text().encode("mac-roman"))
    with pytest.raises(InputError, match=r"`t2w` not found at .*; fix the path .*, or save the sheet as UTF-8"):
        read_sheet(sheet, ["T2w", "T1w"])
    sheet.write_bytes(sheet.read_bytes().decode("mac-roman").encode("cp1252"))
    assert read_sheet(sheet, ["T2w", "T1w"])[0].t2w.endswith("Málaga.nii.gz")


def test_read_sheet_takes_one_site_for_one_whatever_spreadsheets_make_of_its_number(tmp_path):
    rows = [
        GOOD.replace("A1", name).replace("Valencia", site) for name, site in (("A1", "1"), ("A2", "1.0"), ("A3", "1,0"))
    ]
    sessions = read_sheet(write_sheet(tmp_path, *rows), ["T2w"])
    assert {session.demographics["site"] for session in sessions} == {"1"}


def test_read_sheet_refuses_a_pipe_instead_of_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"`t2w` at .*/pipe is neither a file nor a folder"):
        read_sheet(write_sheet(tmp_path, GOOD.replace("t2w.nii.gz", "pipe")), ["T2w"])


CELLS = st.sampled_from(
    ["", "A1", "7", "007", "01", "t2w.nii.gz", "t1w.nii.gz", "mask.nii.gz", ".", "/dev/null", '"', '"A2"', '"x', 'x"', "=1+1", "53", "F",
     "x" * 300, "\u00e9", "\u2028", "1.000", "sub-", "ses-9", " ", "n/a", "-5", "\r", "\x0b"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=10), max_size=4), header=st.permutations(HEADER.split("\t")))
def test_read_sheet_has_a_session_for_each_row_or_ends_in_one_sentence(rows, header, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    sheet = write_sheet(folder, header="\t".join(header))
    text = "\n".join("\t".join(cells) for cells in [header, *rows])
    sheet.write_text(text, encoding="utf-8", newline="")
    try:
        sessions = read_sheet(sheet, ["T2w"])
    except InputError as error:
        assert str(error).startswith(str(sheet))
        assert "\n" not in str(error)
    else:
        # No row is lost: carriage returns end lines too.
        assert len(sessions) == sum(bool(line.strip("\t \x0b")) for line in text.replace("\r", "\n").split("\n")) - 1
