"""Where a study's files lie."""

import pytest

from lumbarseg.cohort.sheet import Session
from lumbarseg.workflow.paths import Paths, ids_of, of_models, of_sessions

SESSIONS = [Session("p1", "01", "t2", "", ""), Session("p1", "02", "t2", "", "")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("nifti", "results/s/nifti/sub-p1/ses-01/anat/sub-p1_ses-01_T2w.nii.gz"),
        ("sidecar", "results/s/nifti/sub-p1/ses-01/anat/sub-p1_ses-01_T2w.json"),
    ],
)
def test_paths_of_images_follow_bids(path, expected):
    assert of_sessions(SESSIONS[:1], getattr(Paths("s"), path)("T2w")) == [expected]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("registered", "registered/sub-p1/ses-01/sub-p1_ses-01_space-T2w_T1w.nii.gz"),
        ("registration_matrix", "registered/sub-p1/ses-01/sub-p1_ses-01_from-T1w_to-T2w_xfm.mat"),
        ("patches", "patches/sub-p1/ses-01/sub-p1_ses-01_patches.json"),
    ],
)
def test_paths_of_sessions_are_those_of_the_contracts(path, expected):
    assert of_sessions(SESSIONS[:1], getattr(Paths("s"), path)) == [f"results/s/{expected}"]


def test_paths_of_networks_masks_and_thresholds_are_those_of_the_contracts():
    paths = Paths("s")
    assert paths.folds == "results/s/folds.tsv"
    assert paths.network == "results/s/networks/{topology}/fold-{fold}/network.keras"
    assert paths.history == "results/s/networks/{topology}/fold-{fold}/history.csv"
    assert paths.thresholds == "results/s/thresholds/{model}/fold-{fold}.json"
    assert paths.masks("E3+NAD+TH") == "results/s/masks/E3+NAD+TH/fold-{fold}"
    assert paths.table("table_7") == [f"results/s/tables/table_7.{ending}" for ending in ("csv", "md", "tex")]
    assert paths.figure("fig_8") == ["results/s/figures/fig_8.svg", "results/s/figures/fig_8.png"]


def test_paths_of_new_patients_have_a_folder_of_the_bundles_name():
    assert Paths("s", "elsewhere/best.zip").result("x") == "results/s/segmented/best/x"


def test_log_and_benchmark_of_a_rule_share_its_name_and_wildcards():
    paths = Paths("s")
    assert paths.log("evaluate") == "results/s/logs/evaluate.log"
    assert paths.log("stack_fold", "fold-{fold}") == "results/s/logs/stack_fold/fold-{fold}.log"
    assert paths.benchmark("stack_fold", "fold-{fold}") == "results/s/benchmarks/stack_fold/fold-{fold}.tsv"


def test_of_sessions_goes_pattern_by_pattern():
    assert of_sessions(SESSIONS, "{session}a", "{session}b") == ["01a", "02a", "01b", "02b"]
    assert ids_of(SESSIONS) == [("p1", "01"), ("p1", "02")]


def test_of_models_leaves_the_fold_open():
    assert of_models("{model}/{fold}", ["U1", "E2+NAD"]) == ["U1/{fold}", "E2+NAD/{fold}"]
