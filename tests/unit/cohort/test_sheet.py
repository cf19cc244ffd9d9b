"""The sheet of sessions."""

import pytest

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
        (
            [GOOD.replace("sub-A1", "12,000")],
            HEADER,
            r"“12,000” is not .*; rename it \(as 12 or 12000, whichever is meant\)",
        ),
    ],
)
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
