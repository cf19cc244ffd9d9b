"""Selection as a user meets it: a session is left out, the table says why, and the study goes on without it."""

import nibabel as nib
import numpy as np
import pandas as pd

from factories.workflow import copy_workflow, small_study, snakemake, write_cohort, write_study

RANGES = {"Height": [40, 40], "Width": [40, 40], "PixelSpacing": [1, 1], "Slices": [3, 9], "SpacingBetweenSlices": None}
SELECTION = {
    "acquisition": {"action": "exclude", "T2w": RANGES},
    "coverage": {"action": "ignore"},
    "quality": {"action": "ignore"},
}


def test_session_out_of_range_is_left_out_and_the_next_call_goes_on_without_it(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    sheet = write_cohort(folder / "cohort", 4)
    for name in ("3_T2w", "3_mask"):
        image = nib.load(folder / f"cohort/{name}.nii.gz")
        nib.save(image.slicer[:32], folder / f"cohort/{name}.nii.gz")
    # One that lacks an image.
    sheet.write_text(sheet.read_text() + "p6\t01\t\t2_mask.nii.gz\t40\tF\t70\tnorth\n")
    selection = SELECTION | {"missing_contrast": "exclude"}
    write_study(folder, small_study("cohort/sessions.tsv", selection=selection, split={"folds": 2}))
    call = ("split", "--configfile", "my_study.yaml", "--cores", "2")

    first = snakemake(folder, *call)
    assert first.status == 1
    assert "selection: 2 sessions excluded; see results/small/metrics/selection.csv" in first.output
    assert "then run the same command again" in first.output
    table = pd.read_csv(folder / "results/small/metrics/selection.csv", dtype=str).dropna(subset="criterion")
    assert table[["participant_id", "outcome", "criterion", "found", "expected"]].values.tolist() == [
        ["p6", "left out", "both contrasts", "no T2w", "T2w and T1w"],
        ["p3", "left out", "T2w Width", "32", "40 to 40"],
    ]

    second = snakemake(folder, *call)
    assert second.status == 0, second.output[-3000:]
    folds = pd.read_csv(folder / "results/small/folds.tsv", sep="\t")
    assert set(folds["participant_id"]) == {"p0", "p1", "p2"}
    assert set(pd.read_csv(folder / "results/small/metrics/cohort.csv")["participant_id"]) == set(
        folds["participant_id"]
    )
    assert "Nothing to be done" in snakemake(folder, *call).output

    # With a warning only, the session is in the study again.
    selection["acquisition"]["action"] = "warn"
    write_study(folder, small_study("cohort/sessions.tsv", selection=selection, split={"folds": 2}))
    third = snakemake(folder, *call)
    assert third.status == 0, third.output[-3000:]
    assert "selection: 1 sessions excluded, 1 sessions outside a criterion but used; see" in third.output
    assert "p3" in set(pd.read_csv(folder / "results/small/folds.tsv", sep="\t")["participant_id"])
    assert np.array(pd.read_csv(folder / "results/small/metrics/selection.csv")["participant_id"] == "p3").any()
