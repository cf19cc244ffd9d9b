"""Bad images and masks in one study: each is reported in one sentence that names the file, and the other sessions go on."""

import nibabel as nib
import numpy as np
import pytest

from factories.dicom import SECRETS, write_series
from factories.workflow import copy_workflow, small_study, snakemake, write_cohort, write_study

GOOD = ("p0", "p1")


def saved(path, image, voxels, affine=None):
    changed = nib.Nifti1Image(voxels, image.affine if affine is None else affine)
    changed.set_sform(changed.affine, 1)
    changed.set_qform(changed.affine, 1)
    nib.save(changed, path)
    return path.name


def bad_sessions(folder):
    """By participant: T2w, mask, and what the message says. Every kind of bad file is in the tests of conversion and masks."""
    image, mask = (nib.load(folder / f"0_{kind}.nii.gz") for kind in ("T2w", "mask"))
    voxels, labels = np.asarray(image.dataobj).astype("f4"), np.asarray(mask.dataobj)
    cut = write_series(folder / "truncated")[3]
    cut.write_bytes(cut.read_bytes()[:-100])
    write_series(folder / "two", slices=range(3))
    write_series(folder / "two", slices=range(3), number=3, PatientID="OTHER", PatientName="Other^One")
    voxels[3, 3, 1] = np.nan
    half = mask.affine.copy()
    half[:3, 3] += mask.affine[:3, 0] / 2
    good_image, good_mask = "0_T2w.nii.gz", "0_mask.nii.gz"
    return {
        "truncated": ("truncated", good_mask, "IM020004: 860 bytes of pixels instead of 960"),
        "two": ("two", good_mask, "two: images of 2 patients"),
        "nan": (saved(folder / "nan.nii.gz", image, voxels), good_mask, "nan.nii.gz: 1 voxels are NaN or infinite"),
        "unknown": (
            good_image, saved(folder / "unknown.nii.gz", mask, np.where(labels == 1, 255, labels)), "unknown.nii.gz: mask values 255",
        ),
        "shifted": (
            good_image, saved(folder / "shifted.nii.gz", mask, labels, half), "shifted.nii.gz: a corner voxel lies 0.5 mm from",
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A study of two good sessions and five bad ones, of which networks are to be trained."""
    folder = copy_workflow(tmp_path_factory.mktemp("bad") / "workflow")
    sheet = write_cohort(folder / "cohort", len(GOOD), slices=3)
    bad = bad_sessions(folder / "cohort")
    rows = [f"{name}\t01\t{t2w}\t{mask}\t\t\t\t" for name, (t2w, mask, _) in bad.items()]
    sheet.write_text(sheet.read_text() + "\n".join(rows) + "\n")
    write_study(folder, small_study("cohort/sessions.tsv"))
    return folder, snakemake(folder, "train", "--configfile", "my_study.yaml", "--cores", "2"), bad


def test_bad_sessions_are_reported_in_one_sentence_and_good_ones_become_patches(run):
    folder, done, bad = run
    assert done.status == 1
    for _, _, message in bad.values():
        assert [line for line in done.output.splitlines() if message in line], message
    patches = (folder / "results/small/patches").glob("*/*/*_patches.json")
    assert {path.parts[-3] for path in patches} == {f"sub-{name}" for name in GOOD}
    assert not any(secret in done.output for secret in SECRETS.values())


def test_bad_sessions_stop_the_run_before_any_training(run):
    folder, _, _ = run
    assert not (folder / "results/small/networks").exists()


def test_bad_sessions_have_their_message_and_the_traceback_in_the_log(run):
    folder, _, bad = run
    log = (folder / "results/small/logs/mask_session/sub-unknown_ses-01.log").read_text()
    assert "Traceback" in log
    assert bad["unknown"][2] in log.splitlines()[-1]


def test_bad_sessions_leave_no_part_of_a_file(run):
    folder, _, bad = run
    left = [path.name for path in (folder / "results/small").rglob("*") if path.is_file() and ".part-" in path.name]
    assert not left
    for name in bad:
        assert not list((folder / "results/small/patches").glob(f"sub-{name}/*/*.json"))
