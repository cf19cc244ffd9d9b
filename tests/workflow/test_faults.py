"""What goes wrong while it runs: a bad file, a job that is killed."""

import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from factories.workflow import copy_workflow, small_study, snakemake, write_cohort, write_study


@pytest.fixture
def workflow(tmp_path):
    """A copy of the workflow with a cohort of six and a small study."""
    folder = copy_workflow(tmp_path / "workflow")
    write_cohort(folder / "cohort", 6)
    write_study(folder, small_study("cohort/sessions.tsv"))
    return folder


def change_mask(folder, patient, change):
    path = folder / f"cohort/{patient}_mask.nii.gz"
    image = nib.load(path)
    nib.save(change(np.asarray(image.dataobj), image.affine), path)


def shifted(voxels, affine):
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 0] / 2
    return nib.Nifti1Image(voxels, moved)


def unknown(voxels, affine):
    changed = voxels.copy()
    changed[3:5, 3, 1] = 7
    return nib.Nifti1Image(changed, affine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shifted, "2_mask.nii.gz"),
        (unknown, "2_mask.nii.gz: expected only the mask values [0, 1, 2], found 7 in 2 voxels"),
    ],
)
def test_a_bad_mask_is_told_before_any_training_and_other_sessions_go_on(workflow, change, message):
    change_mask(workflow, 2, change)
    run = snakemake(workflow, "train", "--configfile", "my_study.yaml", "--cores", "2")
    assert run.status == 1
    assert message in run.output
    assert not (workflow / "results/small/networks").exists()
    assert len(list((workflow / "results/small/patches").glob("*/*/*_patches.json"))) == 5
    log = (workflow / "results/small/logs/mask_session/sub-p2_ses-01.log").read_text()
    assert "Traceback" in log
    assert message in log.splitlines()[-1]


def test_a_training_that_is_killed_goes_on_from_its_last_epoch(workflow):
    study = small_study("cohort/sessions.tsv")
    study["training"]["epochs"] = 60
    write_study(workflow, study)
    target = "results/small/networks/UD/fold-1/network.keras"
    log = workflow / "results/small/logs/train_network/UD_fold-1.log"
    command = [sys.executable, "-m", "snakemake", "--configfile", "my_study.yaml", "--cores", "2", target]
    with subprocess.Popen(
        command, cwd=workflow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while not log.exists() or log.read_text().count("epoch ") < 5:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    # The lock of a killed run stays, as after any kill of snakemake.
    assert snakemake(workflow, "--configfile", "my_study.yaml", "--unlock").status == 0
    run = snakemake(workflow, "--configfile", "my_study.yaml", "--cores", "2", target)
    assert run.status == 0, run.output[-3000:]
    assert "continuing from epoch" in log.read_text()
    assert "epoch 60/60" in log.read_text()
    assert len((workflow / "results/small/networks/UD/fold-1/history.csv").read_text().splitlines()) == 61
