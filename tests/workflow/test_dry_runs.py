"""The workflow before it runs anything: the full study's graph, profiles, and mistakes that stop it at once."""

import re
import runpy
import time

import pytest

from factories.workflow import ROOT, copy_workflow, small_study, snakemake, write_cohort, write_study


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    """A copy of the workflow with a cohort of six."""
    folder = copy_workflow(tmp_path_factory.mktemp("dry") / "workflow")
    write_cohort(folder / "cohort", 6)
    return folder


@pytest.fixture(scope="module")
def full_cohort(tmp_path_factory):
    """A sheet of 181 sessions; nothing opens its files before a job runs."""
    write_sheet = runpy.run_path(str(ROOT / "benchmarks/full_graph.py"))["write_sheet"]
    return write_sheet(tmp_path_factory.mktemp("full"))


def test_the_papers_study_is_planned_in_under_thirty_seconds(workflow, full_cohort):
    started = time.monotonic()
    run = snakemake(workflow, "--dry-run", "--quiet", "rules", "--config", f"sessions={full_cohort}")
    seconds = time.monotonic() - started
    assert run.status == 0, run.output
    assert run.jobs["train_network"] == 13 * 3
    assert run.jobs["convert_session"] == run.jobs["register_session"] == run.jobs["patch_session"] == 181
    assert run.jobs["stack_fold"] == run.jobs["threshold_fold"] == run.jobs["reconstruct_fold"] == 3
    assert seconds < 30


def test_the_slurm_profile_is_found_by_its_name_and_makes_tens_of_submissions(workflow, full_cohort):
    run = snakemake(workflow, "--profile", "slurm", "--dry-run", "--config", f"sessions={full_cohort}")
    assert run.status == 0, run.output
    assert run.jobs["train_network"] == 39
    groups = re.findall(r"Group job (\w+) \(jobs", run.output)
    assert groups.count("images") == 19
    # What stands outside of groups is sent by itself.
    single = re.findall(r"^Job \d+: (\w+)", run.output, re.MULTILINE)
    assert len(groups) + len(single) < 80


def test_the_demo_profile_plans_the_phantom_study(workflow):
    run = snakemake(workflow, "--profile", "profiles/demo", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert run.jobs["phantom"] == 1
    assert run.jobs["train_network"] == 9


@pytest.mark.parametrize(
    "target",
    [
        "convert",
        "register",
        "normalise",
        "patch",
        "quality",
        "select",
        "split",
        "networks",
        "train",
        "stack",
        "threshold",
        "reconstruct",
        "evaluate",
        "tables",
        "figures",
    ],
)
def test_every_stage_is_a_target(workflow, target):
    run = snakemake(workflow, target, "--profile", "profiles/demo", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert run.jobs


def edit_sheet(folder, change):
    sheet = folder / "cohort/edited.tsv"
    sheet.write_text(change((folder / "cohort/sessions.tsv").read_text()))
    return "cohort/edited.tsv"


@pytest.mark.parametrize(
    ("changes", "sheet", "message"),
    [
        ({}, lambda text: text.replace("\tmask", "\tlabels"), "edited.tsv: no column mask"),
        ({"channels": ["T2w", "T1w"]}, None, "add t1w"),
        (
            {"channels": ["T2w", "T1w"]},
            lambda text: "\n".join(
                line + ("\tt1w" if number == 0 else "\t") for number, line in enumerate(text.splitlines())
            ),
            "edited.tsv, line 2: no T1w image for patient p0",
        ),
        ({"trainning": {}}, None, "my_study.yaml: unknown key `trainning`; did you mean `training`?"),
        ({"ensembles": {"E2": ["U1", "UX"]}}, None, "my_study.yaml: `ensembles.E2` names the unknown topology `UX`"),
        ({}, lambda text: text.replace("3_mask", "33_mask"), "edited.tsv, line 5: `mask` not found at"),
    ],
)  # fmt: skip
def test_a_mistake_stops_the_run_with_one_sentence_before_any_job(workflow, changes, sheet, message):
    sessions = edit_sheet(workflow, sheet) if sheet else "cohort/sessions.tsv"
    study = write_study(workflow, small_study(sessions, **changes))
    run = snakemake(workflow, "--configfile", study.name, "--cores", "1")
    assert run.status == 1
    assert message in run.output
    assert "Traceback" not in run.output
    assert not (workflow / "results").exists()


def test_a_study_that_says_nothing_of_uncertainty_maps_none(workflow):
    content = small_study("cohort/sessions.tsv")
    del content["uncertainty"]
    write_study(workflow, content)
    run = snakemake(workflow, "--configfile", "my_study.yaml", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert run.jobs["figure"] > 10
    assert run.jobs["uncertainty_slices"] == 0


def test_networks_can_be_counted_without_any_data_and_everything_else_asks_for_the_sheet(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    run = snakemake(folder, "networks", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert run.jobs["networks"] == 1
    for target in ("all", "convert", "patch", "train"):
        run = snakemake(folder, target, "--dry-run", "--quiet", "rules")
        assert run.status == 1
        assert "sessions.tsv: sheet of sessions not found; write one" in run.output


def test_a_split_that_leaks_stops_the_run_before_any_job(workflow):
    rows = ["participant_id\tfold\tsubset", *(f"p{patient}\t1\ttrain" for patient in (0, 0, 1, 2, 3, 4, 5))]
    (workflow / "leaky.tsv").write_text("\n".join(rows) + "\n")
    study = write_study(workflow, small_study("cohort/sessions.tsv", split={"file": "leaky.tsv"}))
    run = snakemake(workflow, "--configfile", study.name, "--dry-run")
    assert run.status == 1
    assert "is already in fold" in run.output
    assert "Traceback" not in run.output
