"""New patients segmented by the workflow and by the command: a batch with bad sessions, mistakes, and the plan of a bundle."""

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from factories.bundle import NETWORK, small_bundle
from factories.workflow import ROOT, copy_workflow, snakemake
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.series import dicom_slice

HEADER = "participant_id\tsession_id\tt2w\tt1w\tmask"


def write_dicom(folder, number, contrast):
    """Write a phantom's series: a bright square on noise."""
    folder.mkdir(parents=True)
    patient = draw_patient(number, f"phantom{number:02d}", 1, [64], (3, 3))
    generator = np.random.default_rng(number)
    for index in range(3):
        pixels = generator.integers(50, 100, (64, 64)).astype(np.uint16)
        pixels[20:40, 15:45] += 300 if contrast == "T2w" else 150
        dicom_slice(patient, contrast, index, pixels).save_as(folder / f"{index}.dcm", enforce_file_format=True)


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    """A copy of the workflow with a bundle and new patients, good and bad, and no training data."""
    folder = copy_workflow(tmp_path_factory.mktemp("new") / "workflow")
    small_bundle(folder, NETWORK, ranges={"pixel height (mm)": [9.0, 9.0]})
    new = folder / "new"
    for number in (1, 2):
        for contrast in ("T2w", "T1w"):
            write_dicom(new / f"{number}/{contrast}", number, contrast)
    voxels = np.random.default_rng(0).integers(0, 99, (40, 40, 3)).astype(np.int16)
    axial = nib.Nifti1Image(voxels, np.diag([1.0, 1, 4, 1]))
    axial.set_sform(axial.affine, 1)
    nib.save(axial, new / "axial.nii.gz")
    rows = [
        "good\t01\t1/T2w\t1/T1w\t",
        "mixed\t01\t1/T2w\t2/T1w\t",
        "swapped\t01\t1/T1w\t1/T2w\t",
        "axial\t01\taxial.nii.gz\t1/T1w\t",
    ]
    (new / "sessions.tsv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


def segment(folder, sheet="new/sessions.tsv", bundle="small.zip", *arguments):
    given = ["--config", f"bundle={bundle}", f"sessions={sheet}", "study=clinic"]
    return snakemake(folder, "segment", "--cores", "2", *arguments, *given)


def command(*arguments, folder):
    """Call `lumbarseg` as a user without the workflow does."""
    return subprocess.run(
        [sys.executable, "-m", "lumbarseg", *map(str, arguments)], cwd=folder, text=True, check=False, timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow_scripts")}, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def batch(workflow):
    """The run that segments the new patients."""
    return segment(workflow)


def test_batch_goes_on_past_bad_sessions_lists_them_at_the_end_and_its_status_says_so(workflow, batch):
    assert batch.status == 1
    _, _, listed = batch.output.partition("Exiting because a job execution failed")
    assert "sub-good_ses-01: segmented; outside the training range: pixel height (mm)" in listed
    assert "sub-mixed_ses-01: NOT segmented" in listed
    assert "images of 2 patients" in listed
    assert "sub-swapped_ses-01: NOT segmented" in listed
    assert "the series has the times of T1w, not of T2w" in listed
    assert "sub-axial_ses-01: NOT segmented" in listed
    assert "SIP" not in batch.output  # ids of the synthetic patients

    folder = workflow / "results/clinic/segmented/small/sub-good/ses-01"
    made = {path.name.removeprefix("sub-good_ses-01_") for path in folder.iterdir()}
    assert made == {
        "dseg.nii.gz", "dseg.dcm", "dseg.json", "flags.json", "measures.csv", "page.pdf", "page.png", "desc-entropy_uncertainty.nii.gz",
        "desc-mutualinformation_uncertainty.nii.gz",
    }  # fmt: skip
    measures = pd.read_csv(folder / "sub-good_ses-01_measures.csv")
    assert set(measures["participant_id"]) == {"good"}
    assert (workflow / "results/clinic/segmented/small/nifti/labels.txt").read_text().count('"') == 6
    assert not (workflow / "results/clinic/segmented/small/sub-mixed").exists()


def test_segment_of_a_session_without_any_class_or_dicomseg_ends_with_status_0_and_flags(workflow):
    for path in (workflow / "new/2/T2w").iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.FrameOfReferenceUID
        dataset.save_as(path)
    thresholds = {"Background": 0.05, "Int-Disc": 1.0, "Spinal-Cavity": 1.0}  # which no score reaches
    small_bundle(workflow, NETWORK, name="nothing.zip", channels=("T2w",), thresholds=thresholds)
    (workflow / "new/one.tsv").write_text(f"{HEADER}\ngood\t01\t2/T2w\t\t\n")
    run = segment(workflow, "new/one.tsv", "nothing.zip")
    assert run.status == 0, run.output[-3000:]
    assert (
        "sub-good_ses-01: segmented; no class found, all pixels are background; check the images; DICOM-SEG not written: "
        in run.output
    )
    assert "the T2w series has no Frame of Reference UID" in run.output
    folder = workflow / "results/clinic/segmented/nothing/sub-good/ses-01"
    assert not np.asarray(nib.load(folder / "sub-good_ses-01_dseg.nii.gz").dataobj).any()
    assert not (folder / "sub-good_ses-01_dseg.dcm").exists()
    assert (folder / "sub-good_ses-01_page.pdf").exists()


@pytest.mark.usefixtures("batch")
def test_command_segments_a_patient_as_the_workflow_does(workflow, tmp_path):
    run = command(
        "segment",
        workflow / "small.zip",
        workflow / "new/1/T2w",
        workflow / "new/1/T1w",
        tmp_path / "out",
        folder=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert "outside the training range: pixel height (mm)" in run.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "labels.nii.gz", "labels.dcm", "labels.txt", "entropy.nii.gz", "mutual_information.nii.gz", "measures.csv", "measures.json",
        "page.pdf", "page.png", "session.json", "segment.log", "t2w.nii.gz", "t1w.nii.gz",
    }  # fmt: skip
    by_workflow = workflow / "results/clinic/segmented/small/sub-good/ses-01/sub-good_ses-01_dseg.nii.gz"
    one, other = nib.load(by_workflow), nib.load(tmp_path / "out/labels.nii.gz")
    assert one.affine == pytest.approx(other.affine)
    assert (np.asarray(one.dataobj) == np.asarray(other.dataobj)).mean() >= 0.999


@pytest.mark.usefixtures("batch")
def test_command_leaves_nothing_of_a_patient_it_refuses(workflow, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "labels.nii.gz").write_text("corrected")
    given = ["--bundle", "small.zip", "--t2w", "new/axial.nii.gz", "--t1w", "new/1/T1w", "--output", out]
    refused = command("segment", *given, folder=workflow)
    assert refused.returncode == 1
    assert f"{out}: has labels.nii.gz already" in refused.stderr
    refused = command("segment", *given, "--overwrite", folder=workflow)
    assert refused.returncode == 1
    assert "axial slices" in refused.stderr
    assert {path.name for path in out.iterdir()} == {"labels.nii.gz", "segment.log"}
    assert (out / "labels.nii.gz").read_text() == "corrected"


def test_command_ends_with_one_sentence_if_images_are_not_of_one_patient(workflow, tmp_path):
    run = command("segment", "small.zip", "new/1/T2w", "new/2/T1w", tmp_path / "out", folder=workflow)
    assert run.returncode == 1
    assert "images of 2 patients" in run.stderr
    assert "Traceback" not in run.stderr


def test_damaged_bundle_stops_the_workflow_before_any_job(workflow):
    (workflow / "broken.zip").write_bytes((workflow / "small.zip").read_bytes()[:1000])
    run = segment(workflow, "new/sessions.tsv", "broken.zip")
    assert run.status == 1
    assert "broken.zip: damaged, or not a bundle" in run.output
    assert "Traceback" not in run.output


def test_slurm_profile_plans_a_batch(workflow):
    run = segment(workflow, "new/sessions.tsv", "small.zip", "--profile", "slurm", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output


def test_bundle_is_planned_with_the_study_it_is_packed_from(workflow):
    run = snakemake(workflow, "bundle", "--profile", "profiles/demo", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert run.jobs["pack_experiment"] == 1
    assert run.jobs["train_network"] == 9
