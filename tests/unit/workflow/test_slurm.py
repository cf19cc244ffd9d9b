"""The SLURM jobs of runs that have ended; SLURM itself is a script here."""

import json
import os
import subprocess
from types import SimpleNamespace

import pytest

from lumbarseg.errors import InputError
from lumbarseg.workflow import slurm
from lumbarseg.workflow.runs import RunRecorder, runs_of


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
    """Write the record of a run of this process, or of another one by `changes`; `run_id` is empty for a run without SLURM."""
    runs = folder / "logs/runs"
    recorder = RunRecorder()
    recorder.begin(runs, results="results/small", epochs={})
    recorder.close()
    written = max((run for run in runs_of(runs)), key=lambda run: run.content["began"])
    lines = [written.content | changes, *([{"event": "slurm_run", "name": run_id}] if run_id else [])]
    written.file.unlink()
    (runs / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return runs


def test_jobs_of_lists_only_jobs_that_snakemake_submitted_from_the_folder(tmp_path, queue):
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


def test_orphans_are_jobs_of_runs_that_have_ended(tmp_path, queue, ended):
    runs = record(tmp_path, "second", "alive")
    record(tmp_path, "first", "dead", **ended)
    queue.write_text(f"1|dead|RUNNING|gpu1|1:00|rule_a|{tmp_path}\n2|alive|RUNNING|gpu1|1:00|rule_b|{tmp_path}\n")
    assert [job.number for job in slurm.orphans(tmp_path, runs)] == ["1"]


def test_clear_cancels_only_orphans(tmp_path, queue, ended):
    runs = record(tmp_path, "first", "dead", **ended)
    hand = f"2|mine|RUNNING|gpu1|1:00|(null)|{tmp_path}\n"
    queue.write_text(f"1|dead|RUNNING|gpu1|1:00|rule_a|{tmp_path}\n{hand}")
    assert [job.number for job in slurm.clear(tmp_path, runs)] == ["1"]
    assert queue.read_text() == hand


@pytest.mark.parametrize("place", [{}, {"host": "login2", "place": "elsewhere 1"}])
def test_clear_refuses_while_a_run_goes_on_here_or_may_elsewhere(tmp_path, queue, place):
    runs = record(tmp_path, "first", "alive", **place)
    job = f"1|alive|RUNNING|gpu1|1:00|rule_a|{tmp_path}\n"
    queue.write_text(job)
    with pytest.raises(InputError, match=r"first.jsonl: process \d+ on .* in this folder; wait for it"):
        slurm.clear(tmp_path, runs)
    assert queue.read_text() == job


def test_require_no_orphans_names_the_jobs_and_the_command_that_cancels_them(tmp_path, queue, ended):
    runs = record(tmp_path, "first", "dead", **ended)
    slurm.require_no_orphans(tmp_path, runs)
    queue.write_text(f"1|dead|RUNNING|gpu1|1:00|rule_a|{tmp_path}\n4|dead|PENDING|x|0:00|rule_a|{tmp_path}\n")
    with pytest.raises(
        InputError, match=r"SLURM: jobs of .* killed are still there \(1, 4\); `make resume` cancels them"
    ):
        slurm.require_no_orphans(tmp_path, runs)


def test_keep_going_holds_for_the_jobs_of_a_submission():
    workflow = SimpleNamespace(execution_settings=None, execute=lambda number: (number, workflow.execution_settings))
    slurm.keep_going(workflow)
    workflow.execution_settings = SimpleNamespace(keep_going=False)
    number, settings = workflow.execute(7)
    assert number == 7
    assert settings.keep_going is True


def test_jobs_of_is_empty_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert slurm.jobs_of(tmp_path) == []


def test_jobs_of_reports_slurm_that_does_not_answer(tmp_path, queue):
    (tmp_path / "bin/squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n"
    )
    with pytest.raises(InputError, match=r"squeue: SLURM does not list its jobs \(`slurm_load_jobs error"):
        slurm.jobs_of(tmp_path)


def test_orphans_do_not_ask_slurm_where_no_ended_run_used_it(tmp_path, queue, ended):
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\nexit 1\n")
    runs = record(tmp_path, "second", "")
    assert slurm.orphans(tmp_path, runs) == []
    record(tmp_path, "first", "dead", **ended)
    with pytest.raises(InputError, match="squeue"):
        slurm.orphans(tmp_path, runs)
