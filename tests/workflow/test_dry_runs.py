"""The workflow before it runs anything: the full study's graph, profiles, and mistakes that stop it at once."""

import re
import resource
import runpy

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
    benchmark = runpy.run_path(str(ROOT / "benchmarks/full_graph.py"))
    return benchmark["write_sheet"](tmp_path_factory.mktemp("full"), benchmark["SESSIONS_OF_THE_PAPER"])


def test_full_study_is_planned_in_under_thirty_seconds(workflow, full_cohort):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = snakemake(workflow, "--dry-run", "--quiet", "rules", "--config", f"sessions={full_cohort}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.status == 0, run.output
    assert run.jobs["train_network"] == 13 * 3
    assert run.jobs["convert_session"] == run.jobs["register_session"] == run.jobs["patch_session"] == 181
    assert run.jobs["stack_fold"] == run.jobs["threshold_fold"] == run.jobs["reconstruct_fold"] == 3
    # Time of the processor, which other tests at the same time hardly change.
    assert after.ru_utime - before.ru_utime < 30


def test_slurm_profile_is_found_by_its_name_and_makes_tens_of_submissions(workflow, full_cohort):
    run = snakemake(workflow, "--profile", "slurm", "--dry-run", "--config", f"sessions={full_cohort}")
    assert run.status == 0, run.output
    assert run.jobs["train_network"] == 39
    groups = re.findall(r"Group job (\w+) \(jobs", run.output)
    assert groups.count("images") == 19
    # Jobs outside groups are submitted separately.
    single = re.findall(r"^Job \d+: (\w+)", run.output, re.MULTILINE)
    assert len(groups) + len(single) < 80


def test_missing_flirt_is_reported_by_a_dry_run_and_stops_a_run_before_any_job(workflow, full_cohort, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("FSLDIR", raising=False)
    message = "config, registration.engine: flirt needs FSL, but there is no $FSLDIR/bin/flirt and no flirt in PATH"
    run = snakemake(workflow, "register", "--dry-run", "--quiet", "rules", "--config", f"sessions={full_cohort}")
    assert run.status == 0, run.output
    assert run.output.count(message) == 1
    run = snakemake(workflow, "register", "--cores", "1", "--config", f"sessions={full_cohort}")
    assert run.status == 1
    assert message in run.output
    assert "Traceback" not in run.output
    assert "rule convert_session" not in run.output
    # what needs no registration is not stopped
    run = snakemake(workflow, "convert", "--dry-run", "--quiet", "rules", "--config", f"sessions={full_cohort}")
    assert run.status == 0 and message not in run.output


STAGES = [
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
]


def test_demo_profile_plans_the_phantom_study_and_every_stage_is_a_target(workflow):
    run = snakemake(workflow, *STAGES, "--profile", "profiles/demo", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert {stage: run.jobs[stage] for stage in STAGES} == dict.fromkeys(STAGES, 1)
    assert run.jobs["phantom"] == 1
    assert run.jobs["train_network"] == 9


@pytest.mark.parametrize(
    ("sheet", "changes", "message"),
    [
        (("\tmask", "\tlabels"), {}, "edited.tsv: no column mask"),
        (("", ""), {"trainning": {}}, "my_study.yaml: unknown key `trainning`"),
        (
            ("p1\t01", '"p1\t01'),
            {},
            'edited.tsv, line 3: a cell contains a line break or an open quote (“"p1”); fix the cell',
        ),
        (("", ""), {"sessions": "none.tsv"}, "none.tsv: sheet of sessions not found; write one"),
    ],
)
def test_mistake_in_sheet_or_config_stops_the_run_with_one_sentence_before_any_job(workflow, sheet, changes, message):
    text = (workflow / "cohort/sessions.tsv").read_text()
    (workflow / "cohort/edited.tsv").write_text(text.replace(*sheet))
    study = write_study(workflow, small_study("cohort/edited.tsv", **changes))
    run = snakemake(workflow, "--configfile", study.name, "--cores", "1")
    assert run.status == 1
    assert message in run.output
    assert "Traceback" not in run.output
    assert not (workflow / "results").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("training: {epochs: 010}\n", "changes.yaml, line 1: YAML reads `010` as 8; write 8, or"),
        (
            "training: {epochs: 3}\ntraining: {seed: 3}\n",
            "changes.yaml, line 2: the key `training` is already in line 1; remove one",
        ),
        ("study: !!python/tuple [a]\n", "changes.yaml, line 1: a value has the YAML tag"),
    ],
)
def test_config_that_yaml_reads_otherwise_stops_the_run_with_one_sentence(workflow, content, message):
    study = write_study(workflow, small_study("cohort/sessions.tsv"))
    (workflow / "changes.yaml").write_text(content)
    run = snakemake(workflow, "--configfile", study.name, "changes.yaml", "--dry-run", "--quiet", "all")
    assert run.status == 1
    last = run.output.strip().splitlines()[-1]
    assert message in last
    assert 'File "' not in run.output


def test_file_in_the_place_of_results_stops_the_run_with_one_sentence(workflow):
    study = write_study(workflow, small_study("cohort/sessions.tsv"))
    (workflow / "results").touch()
    run = snakemake(workflow, "--configfile", study.name, "--cores", "1")
    (workflow / "results").unlink()
    assert run.status == 1
    assert run.output.strip().splitlines()[-1] == (
        f"{workflow}/results: not a folder, but results/small/ would be there; move it away, or fix the link"
    )


def test_every_run_says_how_many_rows_of_the_sheet_were_read(workflow):
    study = write_study(workflow, small_study("cohort/sessions.tsv"))
    run = snakemake(workflow, "convert", "--configfile", study.name, "--dry-run")
    assert run.status == 0
    patients = len((workflow / "cohort/sessions.tsv").read_text().splitlines()) - 1
    assert f"cohort/sessions.tsv: {patients} rows read, the sessions of {patients} patients\n" in run.output


def test_start_of_trainings_that_is_missing_stops_the_run_before_any_job(workflow):
    changes = {"training": small_study("")["training"] | {"start_from": "start.keras"}}
    study = write_study(workflow, small_study("cohort/sessions.tsv", **changes))
    run = snakemake(workflow, "--configfile", study.name, "--dry-run", "--quiet", "rules")
    assert run.status == 1
    assert "start.keras: file not found; fix the path in `training.start_from`, or set it to null" in run.output
    (workflow / "start.keras").touch()
    run = snakemake(workflow, "--configfile", study.name, "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert run.jobs["train_network"] == 6


def test_networks_needs_no_data_and_all_asks_for_the_sheet(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    run = snakemake(folder, "networks", "--dry-run", "--quiet", "rules")
    assert run.status == 0, run.output
    assert run.jobs["networks"] == 1
    run = snakemake(folder, "--dry-run", "--quiet", "rules")
    assert run.status == 1
    assert "sessions.tsv: sheet of sessions not found; write one" in run.output
