"""One patient under two names in a sheet: warned of when the sheet is written, refused before the split."""

import shutil

import pydicom
import yaml

from factories.dicom import SECRETS, write_series
from factories.workflow import copy_workflow, small_study, snakemake, write_cohort, write_study


def test_split_refuses_an_image_under_two_names_and_reads_a_sheet_of_excel(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    sheet = write_cohort(folder / "cohort", 3)
    shutil.copy(folder / "cohort/0_T2w.nii.gz", folder / "cohort/copy.nii.gz")
    text = sheet.read_text() + "again\t01\tcopy.nii.gz\t0_mask.nii.gz\t50\tF\t70\tMálaga\n"
    sheet.write_bytes(text.replace("\n", "\r\n").encode("utf-16"))
    write_study(folder, small_study("cohort/sessions.tsv", split={"folds": 2}))
    run = snakemake(folder, "split", "--configfile", "my_study.yaml", "--cores", "2")
    assert run.status == 1
    assert (
        "cohort/sessions.tsv: sub-p0 ses-01 and sub-again ses-01 have the same image, so one patient could be in training and test"
        in run.output
    )
    assert not (folder / "results/small/folds.tsv").exists()

    sheet.write_bytes(text.replace("again\t01", "p0\t02").encode("cp1252"))
    run = snakemake(folder, "split", "--configfile", "my_study.yaml", "--cores", "2")
    assert run.status == 0, run.output[-3000:]
    assert "sessions.tsv: not Unicode text, read as Windows-1252" in run.output
    assert "sub-p0 ses-01 and sub-p0 ses-02 have the same image; remove one of the rows" in run.output


def test_write_sheet_warns_of_one_patient_in_two_folders(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    for number, patient in enumerate(("HX-4711-QQ", "HX-4712-QQ", "HX-4711-QQ")):
        for file in write_series(folder / f"data/case{number}", PatientID=patient):
            data = pydicom.dcmread(file)
            data.StudyInstanceUID = f"1.2.3.{number}"
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{data.SOPInstanceUID}.{number}"
            data.save_as(file)
    (folder / "my_study.yaml").write_text(
        yaml.safe_dump({"study": "small", "layout": {"kind": "dicom", "folder": "data"}})
    )
    run = snakemake(folder, "write_sheet", "--configfile", "my_study.yaml", "--cores", "1")
    assert run.status == 0, run.output
    [warning] = [line for line in run.output.splitlines() if "PatientID" in line]
    assert warning.startswith(
        "sessions.tsv: sub-p001 ses-01 and sub-p003 ses-01 have the same patient (PatientID); give"
    )
    assert not any(secret in run.output for secret in SECRETS.values())
