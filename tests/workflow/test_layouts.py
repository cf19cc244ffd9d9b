"""Data laid out as the paper's, as SPIDER and as DICOM exports: with the config of docs/layouts, from folder to patches."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)
import yaml

from factories.dicom import SECRETS, write_series
from factories.workflow import ROOT, copy_workflow, snakemake
from lumbarseg.imaging.conversion import convert
from lumbarseg.phantom.cohort import write_cohort as write_phantoms

LAYOUTS = ROOT / "docs/layouts"
PATIENTS = 3  # the fewest that make two folds and a test


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    """DICOM series and masks of phantoms."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, PATIENTS, seed=1, matrices=[96], slices=(8, 8), processes=2)
    return folder


def prepared(tmp_path, kind, **changes):
    """A copy of the workflow, the layout's own config, and what a user changes in it."""
    folder = copy_workflow(tmp_path / "workflow")
    shutil.copy(LAYOUTS / f"{kind}.yaml", folder / "study.yaml")
    content = yaml.safe_load((folder / "study.yaml").read_text())
    layout = content["layout"] | {"folder": "data"} | ({"masks": "masks"} if "masks" in content["layout"] else {})
    mine = {
        "layout": layout,
        "registration": {"engine": "itk"},
        "patches": {"patch_size": 64, "stride": 48},
        "split": {"folds": 2},
    } | changes
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine))
    return folder, folder / "results" / content["study"], ("--configfile", "study.yaml", "mine.yaml", "--cores", "2")


def masks_made(results):
    """By participant, the class ids in each converted mask."""
    return {
        path.name.split("_")[0]: np.unique(nib.load(path).dataobj)
        for path in results.glob("nifti/*/*/anat/*_dseg.nii.gz")
    }


def test_layout_mids_of_the_paper_becomes_patches(tmp_path, phantoms):
    folder, results, options = prepared(tmp_path, "mids")
    data = folder / "data"
    for number, patient in enumerate(sorted((phantoms / "dicom").iterdir())[:2]):
        place = data / f"sub-S{number}" / "ses-E1" / "anat"
        for contrast in ("T2w", "T1w"):
            stem = place / f"sub-S{number}_ses-E1_acq-sag_{contrast}"
            convert(patient / contrast, contrast, f"{stem}.nii.gz", f"{stem}.json")
        shutil.copy(f"{stem}.nii.gz".replace("T1w", "T2w"), place / f"sub-S{number}_ses-E1_acq-ax_T2w.nii.gz")
        mask = data / "derivatives/masks" / f"sub-S{number}_ses-E1_dseg.nii.gz"
        mask.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantoms / f"masks/{patient.name}_mask.nii.gz", mask)
    (data / "participants.tsv").write_text("participant_id\tage\tsex\nsub-S0\t61\tF\nsub-S1\tn/a\tM\n")

    assert snakemake(folder, "write_sheet", *options).status == 0
    rows = list(csv.DictReader((folder / "sessions.tsv").open(), delimiter="\t"))
    assert [(row["participant_id"], row["session_id"], row["age"], row["sex"]) for row in rows] == [
        ("S0", "E1", "61", "F"), ("S1", "E1", "", "M"),
    ]  # fmt: skip
    assert all("acq-sag_T2w" in row["t2w"] for row in rows)
    again = snakemake(folder, "write_sheet", *options)
    assert again.status == 1
    assert "sessions.tsv: the sheet exists already; edit it" in again.output

    run = snakemake(folder, "patch", *options)
    assert run.status == 0, run.output[-3000:]
    assert len(list(results.glob("patches/*/*/*_patches.json"))) == 2
    assert all(set(range(12)) >= set(ids) > {0, 1} for ids in masks_made(results).values())
    sidecar = json.loads((results / "nifti/sub-S0/ses-E1/anat/sub-S0_ses-E1_T2w.json").read_text())
    assert sidecar["EchoTime"] > 0.08  # from the sidecar of the source image


def test_layout_spider_becomes_patches(tmp_path, phantoms):
    folder, results, options = prepared(tmp_path, "spider")
    for part in ("images", "masks"):
        (folder / "data" / part).mkdir(parents=True)
    theirs = np.zeros(12, "uint8")
    theirs[[1, 3, 4]] = (3, 203, 100)
    for number, patient in enumerate(sorted((phantoms / "dicom").iterdir())[:2], start=9):
        for contrast in ("T2w", "T1w") if number == 9 else ("T2w",):
            convert(patient / contrast, contrast, tmp_path / "image.nii.gz", tmp_path / "image.json")
            image = sitk.ReadImage(str(tmp_path / "image.nii.gz"))
            sitk.WriteImage(image, str(folder / "data/images" / f"{number}_{contrast[:2].lower()}.mha"))
        mask = nib.load(phantoms / f"masks/{patient.name}_mask.nii.gz")
        values = theirs[np.asarray(mask.dataobj)]
        values[:, : values.shape[1] // 8][values[:, : values.shape[1] // 8] == 3] = 103  # cut by the border
        nib.save(nib.Nifti1Image(values, mask.affine), tmp_path / "mask.nii.gz")
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "mask.nii.gz")), str(folder / "data/masks" / f"{number}_t2.mha"))

    assert snakemake(folder, "write_sheet", *options).status == 0
    rows = list(csv.DictReader((folder / "spider.tsv").open(), delimiter="\t"))
    assert [(row["participant_id"], bool(row["t1w"])) for row in rows] == [("9", True), ("10", False)]
    run = snakemake(folder, "patch", *options)
    assert run.status == 0, run.output[-3000:]
    assert {name: ids.tolist() for name, ids in masks_made(results).items()} == {"sub-9": [0, 1, 2, 3]}  # 10 has no T1w
    truth = np.asarray(nib.load(sorted((phantoms / "masks").iterdir())[0]).dataobj)
    made = np.asarray(nib.load(next(results.glob("nifti/sub-9/*/anat/*_dseg.nii.gz"))).dataobj)
    assert [(made == ours).sum() for ours in (1, 2, 3)] == [(truth == theirs).sum() for theirs in (1, 3, 4)]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory, phantoms):
    """The study of a DICOM export: a folder a patient, series mixed in it, and headers that name the patient."""
    folder, results, options = prepared(
        tmp_path_factory.mktemp("hospital"), "dicom", selection={"acquisition": {"action": "ignore"}}
    )
    (folder / "masks").mkdir()
    secrets = {
        name: value for name, value in SECRETS.items() if name not in ("ImageComments", "RequestedProcedureDescription")
    }
    for number, patient in enumerate(sorted((phantoms / "dicom").iterdir())):
        study = folder / "data" / f"case{number}" / "1A2B"
        study.mkdir(parents=True)
        for contrast in ("T2w", "T1w"):  # both in one folder, without endings
            for file in (patient / contrast).iterdir():
                data = pydicom.dcmread(file)
                for name, value in secrets.items():
                    setattr(data, name, value)
                data.PatientBirthDate, data.PatientAge, data.PatientSex = f"195{number}0217", "", "F"
                data.save_as(study / f"{contrast}{file.stem}")
        write_series(study / "scout", number=9, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
        for file in (study / "scout").iterdir():
            file.rename(study / file.name)
        (study / "scout").rmdir()
        (study / "viewer.exe").write_bytes(b"MZ")
        write_series(study / "deeper/axial", "T2w", number=10, orientation=(1, 0, 0, 0, 1, 0), step=(0, 0, 1))
        for file in [*study.glob("IM09*"), *(study / "deeper/axial").iterdir()]:
            data = pydicom.dcmread(file)
            data.PatientBirthDate = f"195{number}0217"
            # The factory gives all patients the same ones.
            data.StudyInstanceUID, data.SOPInstanceUID = (
                f"{data.StudyInstanceUID}.{number}",
                f"{data.SOPInstanceUID}.{number}",
            )
            data.save_as(file)
        shutil.copy(phantoms / f"masks/{patient.name}_mask.nii.gz", folder / f"masks/case{number}.nii.gz")
    assert snakemake(folder, "write_sheet", *options).status == 0
    run = snakemake(folder, "quality", "split", "normalise", *options)
    assert run.status == 0, run.output[-4000:]
    return folder, results, secrets


def test_layout_dicom_separates_series_by_tags_and_records_the_choice(hospital):
    folder, results, _ = hospital
    rows = list(csv.DictReader((folder / "sessions.tsv").open(), delimiter="\t"))
    assert [row["participant_id"] for row in rows] == ["p001", "p002", "p003"]
    chosen = json.loads((results / "conversion/sub-p001/ses-01/sub-p001_ses-01_series.json").read_text())
    assert chosen["T2w"]["taken"]["reason"] == "sagittal, with the times of the contrast"
    assert {one["reason"] for one in chosen["T2w"]["passed_over"]} == {
        "localiser", "not sagittal but axial", "times of T1w",
    }  # fmt: skip
    assert chosen["T2w"]["taken"]["slices"] == 8
    cohort = pd.read_csv(results / "metrics/cohort.csv")
    assert cohort["sex"].tolist() == ["F"] * PATIENTS  # Table 1 from the headers, because the sheet is silent
    assert cohort["age"].tolist() == [69, 68, 67]
    assert {"T2w_RepetitionTime", "T1w_EchoTime", "T2w_Noise"} <= set(cohort)
    page = (results / "quality/index.html").read_text()
    assert page.count("<img") == PATIENTS


def test_layout_dicom_leaves_no_name_place_or_day_in_outputs_and_logs(hospital):
    folder, results, secrets = hospital
    words = {part for value in secrets.values() for part in (value, *value.replace("^", " ").split()) if len(part) > 5}
    words -= {"lumbar", "Hospital"}  # the second is the study's own name
    words |= {f"195{number}0217" for number in range(PATIENTS)} | {"2019-08-23", "13:47:59", "1.2.826.0.1.3680043"}
    given = b"".join(file.read_bytes() for file in (folder / "data/case0").rglob("*") if file.is_file())
    assert sum(word.encode() in given for word in words) > 20  # the search finds them where they are
    files = [path for place in (results, folder / ".snakemake/log") for path in place.rglob("*") if path.is_file()]
    assert len({path.relative_to(folder).parts[2] for path in files}) > 8  # of every stage
    for path in files:
        content = path.read_bytes()
        content += gzip.decompress(content) if path.suffix == ".gz" else b""
        for word in words:
            assert word.encode().lower() not in content.lower(), f"{word} in {path}"
