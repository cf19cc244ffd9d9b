"""How far a run is, from what Snakemake wrote of it, SLURM's list and the states of trainings."""

import json

import numpy as np
import pytest

from lumbarseg.errors import InputError
from lumbarseg.workflow import slurm
from lumbarseg.workflow.cli import watch
from lumbarseg.workflow.progress import stages, trainings

LOG = """\
Job stats:
job                count
---------------  -------
convert_session        3
mask_session           2
train_network          4
train                  1
total                 10

Select jobs to execute...
[Wed Nov 25 04:43:01 2026] Group job images (jobs in lexicogr. order):

    [Wed Nov 25 04:43:01 2026]
    Job 6: convert_session: sub-p1 ses-01 to NIfTI
    [Wed Nov 25 04:43:01 2026]
    Job 8: mask_session: sub-p1 ses-01 onto the T2w grid
    Reason: Missing output files: x
Job 3aadd21d-215e-55a1-9692-5334d86a0881 has been submitted with SLURM jobid 16 (log: logs/slurm/x/16.log).
[Wed Nov 25 04:43:01 2026] Group job images (jobs in lexicogr. order):

    [Wed Nov 25 04:43:01 2026]
    Job 7: convert_session: sub-p2 ses-01 to NIfTI
Job 4bbdd21d-215e-55a1-9692-5334d86a0881 has been submitted with SLURM jobid 17 (log: logs/slurm/x/17.log).
[Wed Nov 25 04:44:01 2026]
Finished jobid: 6 (Rule: convert_session)
[Wed Nov 25 04:44:01 2026]
Finished jobid: 8 (Rule: mask_session)
2 of 10 steps (20%) done
[Wed Nov 25 04:44:02 2026]
Job 1: train_network: UMD, fold 1, 300 epochs
Job 1 has been submitted with SLURM jobid 18 (log: logs/slurm/x/18.log).
Job 2: train_network: UMD, fold 2, 300 epochs
Job 2 has been submitted with SLURM jobid 19 (log: logs/slurm/x/19.log).
Job 3: train_network: UMD, fold 3, 300 epochs
Job 3 has been submitted with SLURM jobid 20 (log: logs/slurm/x/20.log).
[Wed Nov 25 04:45:02 2026]
Error in rule train_network:
    message: SLURM-job '18' failed, SLURM status is: 'TIMEOUT'.
    jobid: 1
    input: x
Trying to restart job 1.
Job 1: train_network: UMD, fold 1, 300 epochs
Job 1 has been submitted with SLURM jobid 21 (log: logs/slurm/x/21.log).
[Wed Nov 25 04:46:02 2026]
Error in rule train_network:
    message: None
    jobid: 2
"""


def queued(number, state):
    return slurm.Job(number, "run", "train_network", "", state, "", "")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of this process, told of by `LOG`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snakemake.log").write_text("SLURM run ID: run\n" + LOG)
    epochs = {"train_network": 300, "stack_fold": 50, "search_network": None}
    slurm.begin(tmp_path / "logs/runs", str(tmp_path / "snakemake.log"), results="results/small", epochs=epochs)
    return slurm.runs_of(tmp_path / "logs/runs")[-1]


def write_state(folder, epochs):
    folder.mkdir(parents=True)
    rows = [{"epoch": number, "seconds": seconds} for number, seconds in enumerate(epochs, 1)]
    record = json.dumps({"epoch": len(rows), "histories": {"one": rows, "two": rows}, "best": {}})
    np.savez(folder / "state.npz", record=np.frombuffer(record.encode(), np.uint8))


def test_jobs_are_counted_by_rule_and_what_slurm_holds_back_waits(run):
    found = {
        stage.rule: stage
        for stage in stages(run, [queued("17", "RUNNING"), queued("20", "PENDING"), queued("21", "RUNNING")])
    }
    counts = {
        rule: (stage.planned, stage.done, stage.running, stage.waiting, stage.failed) for rule, stage in found.items()
    }
    assert counts == {
        "convert_session": (3, 1, 1, 1, 0),
        "mask_session": (2, 1, 0, 1, 0),
        "train_network": (4, 0, 1, 2, 1),
        "train": (1, 0, 0, 1, 0),
    }


def test_time_left_follows_the_last_epochs(tmp_path):
    results = tmp_path / "results"
    write_state(results / "networks/UMD/fold-2/state/state-1a2b", [90, 10, 10, 10, 10, 10])
    write_state(results / "meta_learners/state_fold-1/state-3c4d", [4.0])
    (results / "networks/U1/fold-1/state").mkdir(parents=True)
    found = trainings(results, {"train_network": 300, "stack_fold": 50, "search_network": None})
    assert [(one.rule, one.name, one.epoch, one.epochs, one.left) for one in found] == [
        ("train_network", "U1, fold 1", 0, 300, None),
        ("train_network", "UMD, fold 2", 6, 300, 2940.0),
        ("stack_fold", "fold 1", 1, 50, 196.0),
    ]


def test_a_state_that_is_replaced_while_it_is_read_is_no_mistake(tmp_path):
    folder = tmp_path / "networks/UMD/fold-2/state/state-1a2b"
    folder.mkdir(parents=True)
    (folder / "state.npz").write_bytes(b"PK\x03\x04 cut off")
    assert [one.epoch for one in trainings(tmp_path, {"train_network": 300})] == [0]


def test_watch_prints_one_plain_page_where_there_is_no_terminal(run, capsys, monkeypatch):
    monkeypatch.setattr(slurm, "jobs_of", lambda folder: [queued("21", "RUNNING")])
    write_state(run.file.parents[2] / "results/small/networks/UMD/fold-1/state/state-1a2b", [30.0])
    watch.run(watch.argparse.Namespace(runs=run.file.parent, every=0.01))
    page = capsys.readouterr().out
    assert page.startswith("results/small: 2 of 10 jobs done, 1 running, 6 waiting, 1 failed; run ")
    assert "\x1b" not in page
    assert [line.split() for line in page.splitlines() if "UMD, fold 1" in line] == [
        ["train_network", "UMD,", "fold", "1", "1/300", "30.0", "2:29:30"]
    ]


def test_watch_does_not_ask_slurm_about_a_run_on_this_machine(run, capsys, monkeypatch):
    run.log.write_text(LOG)

    def unanswered(folder):
        raise InputError("squeue: no answer")

    monkeypatch.setattr(slurm, "jobs_of", unanswered)
    watch.run(watch.argparse.Namespace(runs=run.file.parent, every=0.01))
    assert "2 of 10 jobs done" in capsys.readouterr().out
