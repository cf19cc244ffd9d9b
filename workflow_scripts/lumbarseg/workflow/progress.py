"""Progress of a run: its jobs by rule, and its trainings by epoch."""

import json
import statistics
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lumbarseg.workflow.runs import Run
from lumbarseg.workflow.slurm import Job

RECENT_EPOCHS = 5
"""The time left is estimated from the median of this many epochs."""


@dataclass
class Stage:
    """The jobs of a rule in a run.

    Attributes:
        rule: its name.
        planned: number of jobs when the run began.
        done, running, failed: of these. The others wait, for resources or for their input.
    """

    rule: str
    planned: int
    done: int = 0
    running: int = 0
    failed: int = 0

    @property
    def waiting(self) -> int:
        """Jobs that are neither done, nor running, nor failed."""
        return self.planned - self.done - self.running - self.failed


@dataclass(frozen=True)
class Training:
    """A training that has begun and is not done.

    Attributes:
        rule: `train_network`, `stack_fold` or `search_network`.
        name: `UMD, fold 1`.
        epoch: the last finished one.
        epochs: how many there are.
        seconds: median duration of a recent epoch; None before the first.
    """

    rule: str
    name: str
    epoch: int
    epochs: int
    seconds: float | None

    @property
    def left(self) -> float | None:
        """Seconds until its last epoch, if it runs."""
        return None if self.seconds is None else self.seconds * (self.epochs - self.epoch)


@dataclass
class _Jobs:
    """The jobs of a run by Snakemake's number, and SLURM's number of those that were submitted."""

    planned: dict[str, int] = field(default_factory=dict)
    rules: dict[int, str] = field(default_factory=dict)
    submitted: dict[int, str] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)


def stages(run: Run, jobs: Sequence[Job]) -> list[Stage]:
    """Count the jobs of a run by rule, in the order of the study.

    Args:
        run: its record is read.
        jobs: SLURM's list for this folder; a submitted job counts as running when SLURM runs it.
    """
    known = _jobs_of(run)
    active = {job.number for job in jobs if job.state != "PENDING"}
    found = {rule: Stage(rule, count) for rule, count in known.planned.items()}
    for number, rule in known.rules.items():
        stage = found.get(rule)
        if stage is None:
            continue
        if number in known.done:
            stage.done += 1
        elif number in known.failed:
            stage.failed += 1
        elif run.has_ended is not True and (number not in known.submitted or known.submitted[number] in active):
            stage.running += 1
    return list(found.values())


def _jobs_of(run: Run) -> _Jobs:
    jobs = _Jobs()
    groups: dict[str, list[int]] = {}

    def members(job: str) -> list[int]:
        return groups.get(job) or ([int(job)] if job.isdigit() else [])

    for event in run.events():
        match event["event"]:
            case "run_info":
                jobs.planned = {rule: count for rule, count in event["stats"].items() if rule not in ("total", "all")}
            case "job_info":
                jobs.rules[event["job"]] = event["rule"]
                jobs.failed.discard(event["job"])
            case "group_info":
                groups |= {name: list(event["jobs"].values()) for name in event["jobs"]}
            case "submitted":
                jobs.submitted |= dict.fromkeys(members(event["job"]), event["number"])
            case "job_finished":
                jobs.done.add(event["job"])
            case "job_error":
                jobs.failed.add(event["job"])
            case "restarted":
                jobs.failed.difference_update(members(event["job"]))
    return jobs


def trainings(results: Path, epochs: Mapping[str, int | None]) -> list[Training]:
    """List the trainings of a study that have begun and are not done, from the histories in their checkpoints.

    Args:
        results: `results/<study>`.
        epochs: number of epochs by rule.
    """
    kinds = (
        ("train_network", "networks/*/fold-*/state", lambda path: f"{path.parts[-3]}, {_fold(path.parts[-2])}"),
        ("stack_fold", "meta_learners/state_fold-*", lambda path: _fold(path.name.removeprefix("state_"))),
        ("search_network", "search/*/fold-*/state", lambda path: f"{path.parts[-3]}, {_fold(path.parts[-2])}"),
    )
    found = []
    for rule, pattern, name in kinds:
        for folder in sorted(path for path in results.glob(pattern) if path.is_dir()):
            history = _history(folder)
            recent = [row["seconds"] for row in history[-RECENT_EPOCHS:]]
            seconds = statistics.median(recent) if recent else None
            found.append(Training(rule, name(folder), len(history), epochs.get(rule) or 0, seconds))
    return found


def _fold(name: str) -> str:
    return name.replace("-", " ")


def _history(folder: Path) -> list[dict[str, Any]]:
    """Read the epochs of the newest checkpoint in a folder; of tasks trained side by side, the first one's."""
    states = sorted(folder.glob("state-*/state.npz"), key=lambda path: path.stat().st_mtime)
    if not states:
        return []
    try:
        with np.load(states[-1], allow_pickle=False) as content:
            histories = json.loads(bytes(content["record"]))["histories"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        # It was replaced, or removed at the end of the training, while it was read.
        return []
    return next(iter(histories.values()))


def totals(stages: Sequence[Stage]) -> Counter[str]:
    """Sum over all rules: planned, done, running, waiting, failed."""
    names = ("planned", "done", "running", "waiting", "failed")
    return Counter({name: sum(getattr(stage, name) for stage in stages) for name in names})
