"""Sheets of sessions for folders with a known layout."""

import csv
import logging
import os

import pytest

from lumbarseg.cohort.layouts import write_sheet
from lumbarseg.cohort.sheet import read_sheet
from lumbarseg.errors import InputError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def rows_of(tmp_path, layout, masks=None):
    """The rows of a written sheet, by column; paths relative to the folder of images."""
    sheet = tmp_path / "sessions.tsv"
    count = write_sheet(sheet, layout, tmp_path / "data", masks)
    assert count == len(read_sheet(sheet, [], may_lack_images=True))
    with sheet.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    for row in rows:
        for column in ("t2w", "t1w", "mask"):
            row[column] = row[column].removeprefix(f"{tmp_path.resolve()}/")
    return [tuple(row[column] for column in ("participant_id", "session_id", "t2w", "t1w", "mask")) for row in rows]


def test_mids_finds_bids_with_and_without_sessions(tmp_path):
    touch(
        tmp_path / "data",
        "sub-1/anat/sub-1_T2w.nii.gz", "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_dseg.nii.gz",
        "sub-2/anat/sub-2_acq-ax_T2w.nii.gz", "sub-2/anat/sub-2_acq-sag_T2w.nii.gz", "sub-2/anat/sub-2_T1w.nii",
        "sub-3/ses-E2/anat/sub-3_ses-E2_T2w.nii.gz", "derivatives/manual/sub-2/anat/sub-2_acq-sag_desc-x_mask.nii.gz",
        "derivatives/other/sub-1/anat/sub-1_desc-denoised_T2w.nii.gz",
    )  # fmt: skip
    assert rows_of(tmp_path, "mids") == [
        ("1", "01", "data/sub-1/anat/sub-1_T2w.nii.gz", "data/sub-1/anat/sub-1_T1w.nii.gz", "data/sub-1/anat/sub-1_dseg.nii.gz"),
        ("2", "01", "data/sub-2/anat/sub-2_acq-sag_T2w.nii.gz", "data/sub-2/anat/sub-2_T1w.nii",
         "data/derivatives/manual/sub-2/anat/sub-2_acq-sag_desc-x_mask.nii.gz"),
        ("3", "E2", "data/sub-3/ses-E2/anat/sub-3_ses-E2_T2w.nii.gz", "", ""),
    ]  # fmt: skip


def test_mids_lists_what_is_not_in_the_sheet(tmp_path, caplog):
    touch(
        tmp_path / "data",
        "sub-1/anat/sub-1_acq-sag_T2w.nii.gz", "sub-1/anat/sub-1_acq-ax_T2w.nii.gz", "sub-1/anat/sub-1_bold.nii.gz",
        "sub-2/anat/sub-2_T1w.nii.gz", "sub-3/anat/sub-3_dseg.nii.gz", "sub-4/anat/sub-4_ses-_T2w.nii.gz",
        "sub-5/anat/5_T2w.nii.gz", "participants.json", ".git/annex/sub-9_T2w.nii.gz",
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "lumbarseg"):
        assert len(rows_of(tmp_path, "mids")) == 1
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning == (
        f"{tmp_path / 'data'}: 5 files or folders are not in the sheet: sub-1/anat/sub-1_acq-ax_T2w.nii.gz, "
        "sub-2/anat/sub-2_T1w.nii.gz, sub-3/anat/sub-3_dseg.nii.gz, sub-4/anat/sub-4_ses-_T2w.nii.gz, sub-5/anat/5_T2w.nii.gz"
    )
    assert caplog.text.count("not in the sheet: sub-") == 6  # each in the log, however many there are


def test_mids_enters_links_and_keeps_links_without_their_target(tmp_path):
    touch(tmp_path / "store", "anat/sub-1_ses-1_T2w.nii.gz")
    (tmp_path / "data/sub-1").mkdir(parents=True)
    (tmp_path / "data/sub-1/ses-1").symlink_to(tmp_path / "store")
    assert [row[:3] for row in rows_of(tmp_path, "mids")] == [
        ("1", "1", "data/sub-1/ses-1/anat/sub-1_ses-1_T2w.nii.gz")
    ]
    (tmp_path / "sessions.tsv").unlink()
    (tmp_path / "store/anat/sub-1_ses-1_T1w.nii.gz").symlink_to("../.git/annex/objects/x")
    assert write_sheet(tmp_path / "sessions.tsv", "mids", tmp_path / "data") == 1
    with pytest.raises(InputError, match=r"line 2: `t1w` not found at .*sub-1_ses-1_T1w\.nii\.gz"):
        read_sheet(tmp_path / "sessions.tsv", ["T2w", "T1w"])


def test_mids_takes_segmentations_of_slicer_for_masks(tmp_path):
    touch(tmp_path / "data", "sub-1/sub-1_T2w.nii.gz", "sub-1/sub-1_T2w.seg.nrrd")
    masks = tmp_path / "masks"
    touch(masks, "sub-2_seg.nrrd")
    touch(tmp_path / "data", "sub-2/sub-2_T2w.nrrd")
    assert [row[4] for row in rows_of(tmp_path, "mids", masks)] == [
        "data/sub-1/sub-1_T2w.seg.nrrd",
        "masks/sub-2_seg.nrrd",
    ]


def test_mids_reads_participants_as_spreadsheets_save_them(tmp_path, caplog):
    touch(tmp_path / "data", "sub-7/sub-7_T2w.nii.gz")
    table = tmp_path / "data/participants.tsv"
    table.write_bytes("participant_id\tsite\tage\n7.0\tMálaga\tn/a\n".encode("cp1252"))
    write_sheet(tmp_path / "sessions.tsv", "mids", tmp_path / "data")
    [session] = read_sheet(tmp_path / "sessions.tsv", ["T2w"])
    assert session.demographics == {"age": "", "sex": "", "weight": "", "site": "Málaga"}
    assert "participants.tsv: not Unicode text, read as Windows-1252" in caplog.text


def test_spider_lists_patients_without_t2(tmp_path, caplog):
    touch(
        tmp_path / "data",
        "images/1_t1.mha", "images/1_t2.mha", "images/1_t2_SPACE.mha", "images/2_t1.mha", "images/10_t2.mha",
        "images/3_t2_SPACE.mha", "masks/1_t1.mha", "masks/1_t2.mha", "masks/2_t1.mha", "masks/4_t2.mha",
    )  # fmt: skip
    (tmp_path / "data/images/10_t1.mha").symlink_to("gone")
    assert write_sheet(tmp_path / "sessions.tsv", "spider", tmp_path / "data") == 2
    with pytest.raises(InputError, match=r"`t1w` not found at .*10_t1\.mha"):  # not taken for a patient without T1w
        read_sheet(tmp_path / "sessions.tsv", ["T2w", "T1w"])
    (tmp_path / "data/images/10_t1.mha").unlink()
    (tmp_path / "sessions.tsv").unlink()
    caplog.clear()
    assert rows_of(tmp_path, "spider") == [
        ("1", "01", "data/images/1_t2.mha", "data/images/1_t1.mha", "data/masks/1_t2.mha"),
        ("10", "01", "data/images/10_t2.mha", "", ""),
    ]
    assert caplog.messages == [
        f"{tmp_path / 'data'}: 4 files or folders are not in the sheet: images/2_t1.mha, images/3_t2_SPACE.mha, "
        "masks/2_t1.mha, masks/4_t2.mha"
    ]


def test_write_sheet_lists_the_first_twenty_of_many(tmp_path, caplog):
    touch(tmp_path / "data", "images/1_t2.mha", *(f"images/{number}_t1.mha" for number in range(10, 40)))
    write_sheet(tmp_path / "sessions.tsv", "spider", tmp_path / "data")
    assert "30 files or folders are not in the sheet: images/10_t1.mha, " in caplog.text
    assert "images/29_t1.mha and 10 more (all are in the log)" in caplog.text


def test_dicom_lists_files_and_masks_without_a_folder(tmp_path, caplog):
    touch(tmp_path / "data", "case0/IM1", "case1/IM1", ".cache/IM1", "index.txt")
    touch(tmp_path / "masks", "case1.seg.nrrd", "case7.nii.gz")
    (tmp_path / "data/case2").symlink_to("unmounted")
    assert rows_of(tmp_path, "dicom", tmp_path / "masks") == [
        ("p001", "01", "data/case0", "data/case0", ""),
        ("p002", "01", "data/case1", "data/case1", "masks/case1.seg.nrrd"),
    ]
    listed = f"3 files or folders are not in the sheet: case2, index.txt, {tmp_path / 'masks/case7.nii.gz'}"
    assert caplog.messages == [f"{tmp_path / 'data'}: {listed}"]


def test_write_sheet_rejects_names_that_are_not_utf8_but_ignores_those_it_does_not_need(tmp_path):
    patient = tmp_path / "data" / os.fsdecode(b"Jos\xe9")
    patient.mkdir(parents=True)
    sheet = tmp_path / "sessions.tsv"
    with pytest.raises(InputError, match=r"data/Jos\\udce9: a name that is not UTF-8 \(1 such paths\)"):
        write_sheet(sheet, "dicom", tmp_path / "data")
    assert not sheet.exists()
    patient.rename(tmp_path / "data/case0")
    touch(tmp_path / "data", f"case0/{patient.name}", patient.name)
    assert write_sheet(sheet, "dicom", tmp_path / "data") == 1


def listed(caplog):
    """The names in the warning of files that are not in the sheet."""
    found = [message.partition(" are not in the sheet: ")[2] for message in caplog.messages]
    return [name for names in found if names for name in names.split(", ")]


def test_mids_lists_images_whose_names_miss_the_layout(tmp_path, caplog):
    missed = [
        "derivatives/sub-3_T2w_seg-manual.nii.gz", "sub-1/sub-1_T2W.nii.gz", "sub-1/sub-1_T2w.NII.GZ",
        "sub-1/sub-1_T2w.img", "sub-1/sub-1_T2w_defaced.nii.gz", "sub-1/sub-1_t2w.nii.gz",
    ]  # fmt: skip
    touch(tmp_path / "data", *missed, "sub-3/sub-3_T2w.nii.gz", "sub-3/sub-3_T2w.json", "sub-3/sub-3_bold.nii.gz")
    touch(tmp_path / "data", "sub-4/sub-4_T2w/1.dcm", "sub-4/sub-4_T2w/2.dcm")
    touch(tmp_path / "masks", "sub-3_T2w.nii.gz", "3.mgz", "labels.txt", "README")
    assert rows_of(tmp_path, "mids", tmp_path / "masks") == [("3", "01", "data/sub-3/sub-3_T2w.nii.gz", "", "")]
    of_masks = [str(tmp_path / "masks" / name) for name in ("3.mgz", "sub-3_T2w.nii.gz")]
    assert listed(caplog) == [*missed, "sub-4/sub-4_T2w", *of_masks]


def test_mids_takes_no_image_from_a_masks_folder_inside(tmp_path, caplog):
    touch(tmp_path / "data", "sub-3/sub-3_T2w.nii.gz", "masks/sub-3_T2w.nii.gz")
    rows = rows_of(tmp_path, "mids", tmp_path / "data/masks")
    assert rows == [("3", "01", "data/sub-3/sub-3_T2w.nii.gz", "", "")]
    assert listed(caplog) == ["masks/sub-3_T2w.nii.gz"]


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (("_T2w", "_ses-01_T1w", "_ses-01_dseg"), [("01", "_T2w", "", "")]),
        (("_T2w", "_T1w", "_ses-01_T2w"), [("01", "_ses-01_T2w", "", "")]),
        (("_T1w", "_dseg", "_ses-01_T2w"), [("01", "_ses-01_T2w", "", "")]),
        (("_T2w", "_T1w", "_ses-02_T2w"), [("01", "_T2w", "_T1w", ""), ("02", "_ses-02_T2w", "", "")]),
    ],
)
def test_mids_does_not_join_files_with_and_without_a_session(tmp_path, caplog, names, rows):
    touch(tmp_path / "data", *(f"sub-1{name}.nii.gz" for name in names))
    expected = [("1", session, *(name and f"data/sub-1{name}.nii.gz" for name in images)) for session, *images in rows]
    assert rows_of(tmp_path, "mids") == expected
    used = {name for _, *images in rows for name in images}
    assert set(listed(caplog)) == {f"sub-1{name}.nii.gz" for name in names if name not in used}


@pytest.mark.parametrize(
    ("t2w", "masks", "chosen", "warned"),
    [
        ("_T2w", ("_T1w_dseg", "_T2w_dseg"), "_T2w_dseg", False),
        ("_acq-sag_T2w", ("_acq-ax_dseg", "_acq-sag_dseg"), "_acq-sag_dseg", False),
        ("_acq-sag_run-1_T2w", ("_acq-sag_run-2_T2w_dseg", "_dseg"), "_dseg", False),
        ("_acq-sag_T2w", ("_acq-sag_dseg", "_acq-sag_T2w_desc-x_dseg"), "_acq-sag_T2w_desc-x_dseg", False),
        ("_acq-sag_T2w", ("_acq-ax_dseg",), "_acq-ax_dseg", True),
        ("_T2w", ("_T1w_dseg",), "_T1w_dseg", True),
        ("_T2w", ("_space-T2w_label-spine_dseg",), "_space-T2w_label-spine_dseg", False),
    ],
)
def test_mids_prefers_the_mask_named_like_the_t2w(tmp_path, caplog, t2w, masks, chosen, warned):
    touch(tmp_path / "data", f"sub-1{t2w}.nii.gz", *(f"derivatives/sub-1{mask}.nii.gz" for mask in masks))
    assert [row[4] for row in rows_of(tmp_path, "mids")] == [f"data/derivatives/sub-1{chosen}.nii.gz"]
    assert listed(caplog) == [f"derivatives/sub-1{mask}.nii.gz" for mask in masks if mask != chosen]
    message = f"the name of the mask sub-1{chosen}.nii.gz is that of another image than sub-1{t2w}.nii.gz, please check"
    assert (message in caplog.text) == warned


def test_mids_warns_of_participants_whose_number_is_ambiguous(tmp_path, caplog):
    touch(tmp_path / "data", "sub-1/sub-1_T2w.nii.gz")
    (tmp_path / "data/participants.tsv").write_text("participant_id\tage\n1.000\t61\n")
    write_sheet(tmp_path / "sessions.tsv", "mids", tmp_path / "data")
    assert "participants.tsv, line 2: participant_id “1.000” is not made of letters and digits alone" in caplog.text


def test_spider_lists_files_of_a_patient_that_are_not_taken(tmp_path, caplog):
    missed = ["images/1_t1.nii.gz", "images/2_T1.mha", "masks/2_t2.nii.gz"]
    left_out = ["images/1_t2_SPACE.mha", "masks/1_t1.mha", "masks/1_t2_SPACE.mha", "images/@eaDir/1_t2.mha"]
    touch(tmp_path / "data", "images/1_t2.mha", "masks/1_t2.mha", "images/2_t2.mha", *missed, *left_out)
    assert len(rows_of(tmp_path, "spider")) == 2
    assert listed(caplog) == missed


def test_dicom_lists_masks_that_are_not_taken(tmp_path, caplog):
    touch(tmp_path / "data", *(f"{name}/IM1" for name in "abcdef"))
    touch(
        tmp_path / "masks",
        "a.nii.gz", "a.seg.nrrd", "b.NII.GZ", "c.dcm", "d.img", "e/mask.nii.gz", "f.mhd", "f.raw", "@eaDir/x",
    )  # fmt: skip
    rows = rows_of(tmp_path, "dicom", tmp_path / "masks")
    assert [row[4] for row in rows] == ["masks/a.seg.nrrd", "", "", "", "", "masks/f.mhd"]
    assert listed(caplog) == [
        str(tmp_path / "masks" / name) for name in ("a.nii.gz", "b.NII.GZ", "c.dcm", "d.img", "e")
    ]
    assert "data/a: 2 files could be the mask; the sheet names a.seg.nrrd, please check" in caplog.text


def test_dicom_takes_masks_next_to_the_folders(tmp_path, caplog):
    touch(tmp_path / "data", "a/IM1", "a.nii.gz", "b.nii.gz")
    rows = rows_of(tmp_path, "dicom", tmp_path / "data")
    assert rows == [("p001", "01", "data/a", "data/a", "data/a.nii.gz")]
    assert listed(caplog) == ["b.nii.gz"]


@pytest.mark.parametrize("name", ["@eaDir", "lost+found", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information"])
def test_dicom_takes_no_system_folder_for_a_patient(tmp_path, name):
    touch(tmp_path / "data", f"{name}/IM1", "case0/IM1")
    assert rows_of(tmp_path, "dicom") == [("p001", "01", "data/case0", "data/case0", "")]


@pytest.mark.parametrize("name", ["a;=1+1", "b, -x", "c;\u00ad@d"])
def test_write_sheet_rejects_names_that_a_spreadsheet_would_run(tmp_path, name):
    touch(tmp_path / "data", f"{name}/IM1")
    with pytest.raises(
        InputError, match=r"a name that a spreadsheet would run as a formula, .*; rename the folder or file$"
    ):
        write_sheet(tmp_path / "sessions.tsv", "dicom", tmp_path / "data")
    assert not (tmp_path / "sessions.tsv").exists()


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "a\x01b", "a ", "a\u00a0"])
def test_write_sheet_rejects_names_that_a_sheet_cannot_hold(tmp_path, name):
    touch(tmp_path / "data", f"{name}/IM1")
    with pytest.raises(InputError, match=r"a name with a control character .* or a blank at its end") as caught:
        write_sheet(tmp_path / "sessions.tsv", "dicom", tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sessions.tsv").exists()


def test_mids_pairs_t1w_of_the_acquisition_of_the_t2w(tmp_path, caplog):
    touch(
        tmp_path / "data",
        "sub-1/anat/sub-1_acq-b_T2w.nii.gz", "sub-1/anat/sub-1_acq-a_T1w.nii.gz", "sub-1/anat/sub-1_acq-b_T1w.nii.gz",
    )  # fmt: skip
    assert rows_of(tmp_path, "mids")[0][3] == "data/sub-1/anat/sub-1_acq-b_T1w.nii.gz"
    assert "differ in `acq`" not in caplog.text


def test_mids_warns_once_of_t1w_and_t2w_of_unlike_acquisitions(tmp_path, caplog):
    touch(
        tmp_path / "data",
        "sub-1/anat/sub-1_acq-tse_T2w.nii.gz", "sub-1/anat/sub-1_acq-se_T1w.nii.gz",
        "sub-2/anat/sub-2_acq-tse_T2w.nii.gz", "sub-2/anat/sub-2_acq-se_T1w.nii.gz",
        "sub-3/anat/sub-3_acq-tse_T2w.nii.gz", "sub-3/anat/sub-3_T1w.nii.gz",
    )  # fmt: skip
    assert [row[3] for row in rows_of(tmp_path, "mids")] == [
        f"data/sub-{number}/anat/sub-{number}_{rest}T1w.nii.gz"
        for number, rest in ((1, "acq-se_"), (2, "acq-se_"), (3, ""))
    ]
    [warning] = [record.getMessage() for record in caplog.records if "`acq`" in record.getMessage()]
    assert warning == (
        "2 sessions have T1w and T2w whose names differ in `acq`, please check: sub-1 ses-01 (sub-1_acq-se_T1w.nii.gz), sub-2 ses-01 "
        "(sub-2_acq-se_T1w.nii.gz)"
    )


def test_mids_leaves_out_what_is_no_age_sex_or_weight_and_makes_formulas_harmless(tmp_path, caplog):
    touch(tmp_path / "data", "sub-1/anat/sub-1_T2w.nii.gz", "sub-2/anat/sub-2_T2w.nii.gz")
    (tmp_path / "data/participants.tsv").write_text(
        "participant_id\tage\tsex\tweight\tsite\nsub-1\t-5\tH\t=70\t=HYPERLINK(1)\nsub-2\t89+\tfemale\t70,5\t1.0\n"
    )
    rows_of(tmp_path, "mids")
    sheet = tmp_path / "sessions.tsv"
    assert "\t\t\t\t'=HYPERLINK(1)\n" in sheet.read_text()
    assert [session.demographics for session in read_sheet(sheet, [], may_lack_images=True)] == [
        {"age": "", "sex": "", "weight": "", "site": "'=HYPERLINK(1)"},
        {"age": "89", "sex": "F", "weight": "70.5", "site": "1"},
    ]
    for problem in (
        "age “-5” is not a number of years",
        "sex “H” is not F, M or O",
        "weight “=70” is not a number of kg",
    ):
        assert f"participants.tsv, line 2: {problem}" in caplog.text
