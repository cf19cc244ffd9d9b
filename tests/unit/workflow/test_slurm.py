"""Which of SLURM's jobs belong to a run that is no more; SLURM itself is a script here."""

import json
import os
import subprocess

import pytest

from lumbarseg.errors import InputError
from lumbarseg.workflow import slurm


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A `squeue` that prints a file, and a `scancel` that takes jobs out of it."""
    programs, listing = tmp_path / "bin", tmp_path / "queue"
    programs.mkdir()
    listing.write_text("")
    for name, script in (
        ("squeue", f"cat {listing}"),
        ("scancel", f'for job; do sed -i "/^$job|/d" {listing}; done'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return listing


@pytest.fixture
def ended():
    """A process that has ended, as a record would name it."""
    with subprocess.Popen(["true"]) as process:
        pass
    return {"process": process.pid, "process_start_time": "1"}


def record(folder, name, run_id, **changes):
    runs = folder / "logs/runs"
    log = folder / f"{name}.log"
    log.write_text(f"SLURM run ID: {run_id}\n")
    slurm.begin(runs, str(log), results="results/small", epochs={})
    written = next(file for file in runs.glob("*.json") if json.loads(file.read_text())["log"] == str(log))
    content = json.loads(written.read_text()) | changes
    written.unlink()
    (runs / f"{name}.json").write_text(json.dumps(content))
    return runs


def test_jobs_of_other_folders_and_those_sent_by_hand_are_not_ours(tmp_path, queue):
    queue.write_text(
        f"1|dead|RUNNING|gpu1|1:00|rule_train_network_wildcards_UMD_1|{tmp_path}\n"
        f"2|other|RUNNING|gpu1|1:00|rule_train_network_wildcards_UMD_1|{tmp_path}/elsewhere\n"
        f"3|mine|RUNNING|gpu1|1:00|(null)|{tmp_path}\n"
        f"4|dead|PENDING|(Resources)|0:00|rule_evaluate|{tmp_path}\n"
    )
    jobs = slurm.jobs_of(tmp_path)
    assert [(job.number, job.rule, job.wildcards) for job in jobs] == [
        ("1", "train_network", "UMD_1"),
        ("4", "evaluate", ""),
    ]


def test_only_jobs_of_runs_that_have_ended_are_orphans(tmp_path, queue, ended):
    runs = record(tmp_path, "second", "alive")
    record(tmp_path, "first", "dead", **ended)
    queue.write_text(f"1|dead|RUNNING|gpu1|1:00|rule_a|{tmp_path}\n2|alive|RUNNING|gpu1|1:00|rule_b|{tmp_path}\n")
    assert [job.number for job in slurm.orphans(tmp_path, runs)] == ["1"]


def test_clear_ends_orphans_alone(tmp_path, queue, ended):
    runs = record(tmp_path, "first", "dead", **ended)
    hand = f"2|mine|RUNNING|gpu1|1:00|(null)|{tmp_path}\n"
    queue.write_text(f"1|dead|RUNNING|gpu1|1:00|rule_a|{tmp_path}\n{hand}")
    assert [job.number for job in slurm.clear(tmp_path, runs)] == ["1"]
    assert queue.read_text() == hand


@pytest.mark.parametrize("place", [{}, {"host": "login2", "place": "elsewhere 1"}])
def test_clear_touches_nothing_while_a_run_goes_on_or_may_do_so_elsewhere(tmp_path, queue, place):
    runs = record(tmp_path, "first", "alive", **place)
    job = f"1|alive|RUNNING|gpu1|1:00|rule_a|{tmp_path}\n"
    queue.write_text(job)
    with pytest.raises(InputError, match=r"first.json: expected no run in this folder, found process \d+ on "):
        slurm.clear(tmp_path, runs)
    assert queue.read_text() == job


def test_without_slurm_there_are_no_jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert slurm.jobs_of(tmp_path) == []


def test_slurm_that_does_not_answer_is_told_in_a_sentence(tmp_path, queue):
    (tmp_path / "bin/squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n"
    )
    with pytest.raises(InputError, match="squeue: expected SLURM's list of jobs, found `slurm_load_jobs error"):
        slurm.jobs_of(tmp_path)


def test_slurm_is_not_asked_where_no_run_has_sent_jobs(tmp_path, queue, ended):
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\nexit 1\n")
    runs = record(tmp_path, "second", "alive")
    (tmp_path / "second.log").write_text("a run on this machine alone\n")
    assert slurm.orphans(tmp_path, runs) == []
    record(tmp_path, "first", "dead", **ended)
    with pytest.raises(InputError, match="squeue"):
        slurm.orphans(tmp_path, runs)
