"""Progress of a run, from its record, SLURM's list of jobs and the checkpoints of trainings."""

import json

import numpy as np
import pytest

from lumbarseg.errors import InputError
from lumbarseg.workflow import slurm
from lumbarseg.workflow.cli import watch
from lumbarseg.workflow.progress import stages, trainings
from lumbarseg.workflow.runs import RunRecorder, runs_of

EVENTS = [
    {
        "event": "run_info",
        "stats": {"convert_session": 3, "mask_session": 2, "train_network": 4, "train": 1, "total": 10},
    },
    # Two threads submit: both groups are named before either has a number.
    {"event": "group_info", "jobs": {"3aad-21": 6, "5ccd-44": 8}},
    {"event": "job_info", "job": 6, "rule": "convert_session"},
    {"event": "job_info", "job": 8, "rule": "mask_session"},
    {"event": "group_info", "jobs": {"4bbd-21": 7}},
    {"event": "job_info", "job": 7, "rule": "convert_session"},
    {"event": "submitted", "job": "4bbd-21", "number": "17"},
    {"event": "submitted", "job": "3aad-21", "number": "16"},
    {"event": "job_finished", "job": 6},
    {"event": "job_finished", "job": 8},
    {"event": "job_info", "job": 1, "rule": "train_network"},
    {"event": "submitted", "job": "1", "number": "18"},
    {"event": "job_info", "job": 2, "rule": "train_network"},
    {"event": "submitted", "job": "2", "number": "19"},
    {"event": "job_info", "job": 3, "rule": "train_network"},
    {"event": "submitted", "job": "3", "number": "20"},
    {"event": "job_error", "job": 1},
    {"event": "restarted", "job": "1"},
    {"event": "job_info", "job": 1, "rule": "train_network"},
    {"event": "submitted", "job": "1", "number": "21"},
    {"event": "job_error", "job": 2},
]


def queued(number, state):
    return slurm.Job(number, "run", "train_network", "", state, "", "")


def write_run(folder, *more):
    recorder = RunRecorder()
    epochs = {"train_network": 300, "stack_fold": 50, "search_network": None}
    recorder.begin(folder / "logs/runs", results="results/small", epochs=epochs)
    recorder.close()
    (run,) = runs_of(folder / "logs/runs")
    with run.file.open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in [*more, *EVENTS])
    return run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of this process on SLURM, with `EVENTS` so far."""
    monkeypatch.chdir(tmp_path)
    return write_run(tmp_path, {"event": "slurm_run", "name": "run"})


def write_state(folder, epochs):
    folder.mkdir(parents=True)
    rows = [{"epoch": number, "seconds": seconds} for number, seconds in enumerate(epochs, 1)]
    record = json.dumps({"epoch": len(rows), "histories": {"one": rows, "two": rows}, "best": {}})
    np.savez(folder / "state.npz", record=np.frombuffer(record.encode(), np.uint8))


def test_stages_count_jobs_by_rule_and_those_pending_in_slurm_as_waiting(run):
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


def test_trainings_estimate_the_time_left_from_the_last_epochs(tmp_path):
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


def test_trainings_accept_a_checkpoint_that_is_replaced_while_it_is_read(tmp_path):
    folder = tmp_path / "networks/UMD/fold-2/state/state-1a2b"
    folder.mkdir(parents=True)
    (folder / "state.npz").write_bytes(b"PK\x03\x04 cut off")
    assert [one.epoch for one in trainings(tmp_path, {"train_network": 300})] == [0]


def test_watch_prints_one_plain_page_where_there_is_no_terminal(run, capsys, monkeypatch):
    monkeypatch.setattr(slurm, "jobs_of", lambda folder: [queued("21", "RUNNING")])
    write_state(run.file.parents[2] / "results/small/networks/UMD/fold-1/state/state-1a2b", [30.0])
    watch.run(watch.argparse.Namespace(runs=run.file.parent, every=0.01))
    page = capsys.readouterr().out
    assert page.startswith("results/small: 2 of 10 jobs done, 1 running, 6 waiting, 1 failed; process ")
    assert "\x1b" not in page
    assert [line.split() for line in page.splitlines() if "UMD, fold 1" in line] == [
        ["train_network", "UMD,", "fold", "1", "1/300", "30.0", "2:29:30"]
    ]


def test_watch_does_not_ask_slurm_about_a_run_on_this_machine(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path)

    def unanswered(folder):
        raise InputError("squeue: no answer")

    monkeypatch.setattr(slurm, "jobs_of", unanswered)
    watch.run(watch.argparse.Namespace(runs=run.file.parent, every=0.01))
    assert "2 of 10 jobs done" in capsys.readouterr().out
