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
