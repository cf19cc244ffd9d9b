"""From images without masks to corrections, as a user runs it: drafts, whom to draw next, masks, what was corrected."""

import os
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from factories.bundle import CLASSES, NETWORK, small_bundle
from factories.workflow import copy_workflow, small_study, snakemake, write_cohort, write_study
from lumbarseg.atomic_io import read_json
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.itksnap import read_descriptions

RUN = ("--configfile", "my_study.yaml", "--cores", "2")
# Masks of users have other values than classes have ids.
VALUES = [[0], [7, 3], [5]]


def rewrite_sheet(folder, masks):
    """Fill the column `mask`: a file by patient, empty for the others."""
    rows = pd.read_csv(folder / "cohort/sessions.tsv", sep="\t", dtype=str)
    rows["mask"] = [masks.get(patient, "") for patient in rows["participant_id"]]
    rows.to_csv(folder / "cohort/sessions.tsv", sep="\t", index=False)


def change_study(folder, **changes):
    file = folder / "my_study.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


def save_as(path, changed, like):
    image = nib.load(like)
    nib.save(nib.Nifti1Image(changed.astype(np.uint8), image.affine, image.header), path)


@pytest.fixture(scope="module")
def drafted(tmp_path_factory):
    """A folder with four sessions, one of them drawn already, and the drafts of the others."""
    folder = copy_workflow(tmp_path_factory.mktemp("drafts") / "workflow")
    write_cohort(folder / "cohort", 4, slices=2)
    drawn = folder / "cohort/0_mask.nii.gz"
    save_as(drawn, np.array([0, 7, 5])[voxels(drawn)], drawn)
    rewrite_sheet(folder, {"p0": drawn.name})
    small_bundle(folder, NETWORK, name="first.zip", channels=("T2w",), labelling="MAP")
    classes = [{**entry, "values": values} for entry, values in zip(CLASSES, VALUES, strict=True)]
    draft = {"bundle": "first.zip", "next": 2}
    write_study(folder, small_study("cohort/sessions.tsv", classes=classes, draft=draft))
    run = snakemake(folder, "draft", *RUN)
    assert run.status == 0, run.output[-4000:]
    assert "cohort/sessions.tsv: 3 of 4 sessions have no mask and are not part of split and training" in run.output
    return folder


@pytest.fixture
def again(drafted, tmp_path):
    """A copy of the drafts that a test may change."""
    return shutil.copytree(drafted, tmp_path / "workflow", symlinks=True)


def drafts(folder):
    return folder / "results/small/drafts"


def test_draft_writes_a_folder_that_opens_in_itksnap(drafted):
    folder = drafts(drafted) / "sub-p1/ses-01"
    assert {path.name for path in folder.iterdir()} == {
        "draft.nii.gz", "draft.json", "labels.nii.gz", "labels.sha256", "labels_draft.nii.gz", "labels_draft.json", "labels.txt", "t2w.nii.gz", "entropy.nii.gz", "command.txt",
        "picture.png",
    }  # fmt: skip
    assert (folder / "command.txt").read_text() == "itksnap -g t2w.nii.gz -s labels.nii.gz -l labels.txt\n"
    assert read_descriptions(folder / "labels.txt") == {0: "Clear Label", 3: "Int-Disc", 5: "Spinal-Cavity"}
    ids, values = voxels(folder / "draft.nii.gz"), voxels(folder / "labels.nii.gz")
    assert (np.array([0, 3, 5])[ids] == values).all()
    source = nib.load(drafted / "cohort/1_T2w.nii.gz")
    for name in ("t2w", "draft", "labels", "entropy"):
        image = nib.load(folder / f"{name}.nii.gz")
        assert image.shape == source.shape
        assert image.affine == pytest.approx(source.affine)
    assert subprocess.run(["sha256sum", "--check", "labels.sha256"], cwd=folder, check=False).returncode == 0
    assert not (drafts(drafted) / "sub-p0").exists()


def test_draft_lists_whom_to_draw_next_and_shows_them_on_a_page(drafted, tmp_path):
    listed = read_csv(drafts(drafted) / "next.csv")
    assert listed["rank"].tolist() == [1, 2, 3]
    assert set(listed["participant_id"]) == {"p1", "p2", "p3"}
    assert listed["next"].tolist() == [True, True, False]
    assert listed["novelty"].between(0, 1).all()
    page = (drafts(drafted) / "drafts.html").read_text()
    places = [page.index(f'<h3 id="sub-{patient}_ses-01">') for patient in listed["participant_id"]]
    assert places == sorted(places)
    assert page.index("<h2>Draw next</h2>") < places[0]
    assert places[1] < page.index("<h2>Later</h2>") < places[2]
    assert page.count("data:image/") == 3
    assert "http" not in page
    # The script opens the drafts in the order of the list, whatever the working directory.
    fake = tmp_path / "itksnap"
    fake.write_text('#!/bin/sh\necho "${PWD%/ses-01}" | sed "s/.*sub-//"\nls "$2" "$4" "$6" >&2\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["sh", drafts(drafted) / "commands.sh"], env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == listed["participant_id"].tolist()


def test_corrections_are_measured_and_drafts_of_drawn_sessions_are_kept(again):
    before = {path: path.stat().st_mtime_ns for path in drafts(again).glob("sub-*/ses-01/*")}
    masks = again / "masks"
    masks.mkdir()
    for patient in ("p1", "p2"):
        labels = drafts(again) / f"sub-{patient}/ses-01/labels.nii.gz"
        corrected = voxels(labels).copy()
        if patient == "p1":
            corrected[10:20, 5:15, 1] = 5
        save_as(masks / f"{patient}.nii.gz", corrected, labels)
    rewrite_sheet(again, {"p0": "0_mask.nii.gz", "p1": "../masks/p1.nii.gz", "p2": "../masks/p2.nii.gz"})
    # A correction under way is not in the sheet yet.
    under_way = drafts(again) / "sub-p3/ses-01/labels.nii.gz"
    save_as(under_way, np.zeros_like(voxels(under_way)), under_way)
    corrected_so_far = under_way.read_bytes()
    # Another bundle makes other drafts, but not of sessions that are drawn.
    shutil.copy(again / "first.zip", again / "second.zip")
    small_bundle(again, NETWORK, name="second.zip", channels=("T2w",), labelling="MAP", study="other")
    change_study(again, draft={"bundle": "second.zip"}, classes_left_out=["Int-Disc"])
    run = snakemake(again, "draft", "corrections", *RUN)
    assert run.status == 0, run.output[-4000:]
    assert "sub-p2 ses-01: the mask equals its draft; correct it, unless nothing was to be corrected" in run.output
    assert "sub-p1 ses-01: the mask equals" not in run.output
    assert under_way.read_bytes() == corrected_so_far
    assert "sub-p3/ses-01/labels.nii.gz was changed by hand and is kept" in run.output
    kept = {path for path in before if "sub-p3" not in str(path)}
    assert {path: path.stat().st_mtime_ns for path in kept} == {path: before[path] for path in kept}
    record = read_json(drafts(again) / "sub-p3/ses-01/draft.json")
    assert (record["study"], record["classes_left_out"]) == ("other", ["Int-Disc"])
    assert not (voxels(drafts(again) / "sub-p3/ses-01/draft.nii.gz") == 1).any()
    assert read_csv(drafts(again) / "next.csv")["participant_id"].tolist() == ["p3"]
    assert "Not drawn: Int-Disc. Draw them from scratch." in (drafts(again) / "drafts.html").read_text()

    results = again / "results/small"
    measured = read_csv(results / "metrics/corrections.csv")
    assert list(dict.fromkeys(zip(measured["drawn"], measured["participant_id"], strict=True))) == [
        (2, "p1"),
        (3, "p2"),
    ]
    ids = {0: 0, 7: 1, 3: 1, 5: 2}
    corrected = np.vectorize(ids.get)(voxels(masks / "p1.nii.gz"))
    draft = voxels(drafts(again) / "sub-p1/ses-01/draft.nii.gz")
    expected = [
        ((corrected == c) & (draft == c)).sum() / max(((corrected == c) | (draft == c)).sum(), 1) for c in range(3)
    ]
    of_first = measured[measured["participant_id"] == "p1"]
    assert of_first["iou"].fillna(0).tolist() == pytest.approx(expected)
    assert of_first["changed_share"].tolist() == pytest.approx([(corrected != draft).mean()] * 3)
    assert "Equal to the draft: sub-p2_ses-01." in (results / "tables/table_corrections.md").read_text()
    assert (results / "figures/corrections.png").stat().st_size > 5000
    assert (
        "Nothing to be done" in snakemake(again, "draft", "corrections", *RUN, "--dry-run", "--quiet", "rules").output
    )


def test_draft_with_a_mask_for_every_session_says_so_on_its_page(again):
    rewrite_sheet(again, {f"p{number}": f"{number}_mask.nii.gz" for number in range(4)})
    change_study(again, classes=CLASSES)
    run = snakemake(again, "draft", *RUN)
    assert run.status == 0, run.output[-4000:]
    assert "Every session has a mask" in (drafts(again) / "drafts.html").read_text()
    assert read_csv(drafts(again) / "next.csv").empty
    assert (drafts(again) / "sub-p1/ses-01/draft.nii.gz").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"classes_left_out": ["Int-Disk"]}, "my_study.yaml: `classes_left_out` names the unknown class `Int-Disk`"),
        ({"draft": {"bundle": "gone.zip"}}, "gone.zip: bundle not found"),
        (
            {"classes": [*CLASSES, {"id": 3, "name": "SCT", "colour": "#f6efd0"}]},
            "first.zip: classes Background, Int-Disc, Spinal-Cavity instead of the study's Background, Int-Disc, Spinal-Cavity, SCT",
        ),
        ({"bundle": "first.zip"}, "`bundle` is for `segment`"),
    ],
)  # fmt: skip
def test_draft_stops_before_any_job_with_one_sentence(again, changes, sentence):
    change_study(again, **changes)
    run = snakemake(again, "draft", *RUN, "--dry-run", "--quiet", "rules")
    assert run.status == 1
    assert sentence in run.output


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda values: np.where(values == 5, 9, values), "mask values 9 in"),
        (lambda values: values[:-1], "voxels, but its T2w image has"),
    ],
)
def test_corrections_say_what_is_wrong_with_a_mask(again, spoil, sentence):
    labels = drafts(again) / "sub-p1/ses-01/labels.nii.gz"
    values = voxels(labels).copy()
    values[5:15, 5:15] = 5
    save_as(again / "cohort/wrong.nii.gz", spoil(values), labels)
    rewrite_sheet(again, {"p1": "wrong.nii.gz"})
    run = snakemake(again, "corrections", *RUN)
    assert run.status == 1
    assert "wrong.nii.gz" in run.output
    assert sentence in run.output


def test_corrections_without_any_say_how_to_make_them(drafted):
    run = snakemake(drafted, "corrections", *RUN, "--dry-run", "--quiet", "rules")
    assert run.status == 1
    assert "no session has both a mask and a draft" in run.output
