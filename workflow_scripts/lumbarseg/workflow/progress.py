"""How far a run is: its jobs by rule, and its trainings by epoch."""

import json
import re
import statistics
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lumbarseg.workflow.slurm import Job, Run

LATELY = 5
"""Epochs whose median is taken for the time of the next ones."""


@dataclass
class Stage:
    """The jobs of a rule in a run.

    Attributes:
        rule: its name.
        planned: how many the run set out to do.
        done, running, failed: of these. The others wait, for cards or for what they are made of.
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
        seconds: of an epoch, the median of the last ones; None before the first.
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
class _Told:
    """What Snakemake has told of a run so far."""

    planned: dict[str, int] = field(default_factory=dict)
    rules: dict[int, str] = field(default_factory=dict)
    submitted: dict[int, str] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)


def stages(run: Run, jobs: Sequence[Job]) -> list[Stage]:
    """Count a run's jobs by rule, in the order of the study.

    Args:
        run: whose log is read.
        jobs: of SLURM, of this folder; what it runs is running, whatever was submitted.
    """
    told = _read(run.log.read_text(encoding="utf-8", errors="replace") if run.log.is_file() else "")
    active = {job.number for job in jobs if job.state != "PENDING"}
    found = {rule: Stage(rule, count) for rule, count in told.planned.items()}
    for number, rule in told.rules.items():
        stage = found.get(rule)
        if stage is None:
            continue
        if number in told.done:
            stage.done += 1
        elif number in told.failed:
            stage.failed += 1
        elif run.has_ended is not True and (number not in told.submitted or told.submitted[number] in active):
            stage.running += 1
    return list(found.values())


def _read(text: str) -> _Told:
    told = _Told()
    _, _, table = text.partition("Job stats:\n")
    for rule, count in re.findall(r"^(\w+) +(\d+)$", table.partition("\n\n")[0], re.MULTILINE):
        if rule not in ("total", "all"):
            told.planned[rule] = int(count)
    shown: list[int] = []
    failing = False
    for line in table.splitlines():
        failing = failing and not re.match(r"\S", line)
        if found := re.match(r"\s*Job (\d+): (\w+)", line):
            number = int(found[1])
            told.rules[number] = found[2]
            told.failed.discard(number)
            shown.append(number)
        elif found := re.match(r"Job (\S+) has been submitted with SLURM jobid (\d+)", line):
            # A group has a name of its own; its jobs were shown before.
            members = [int(found[1])] if found[1].isdigit() else shown
            told.submitted |= dict.fromkeys(members, found[2])
            shown = []
        elif found := re.match(r"Finished jobid: (\d+) \(Rule: (\w+)\)", line):
            # Targets such as `train` are not shown before.
            told.rules[int(found[1])] = found[2]
            told.done.add(int(found[1]))
        elif re.match(r"\s*(message: )?Error in (rule|group)", line):
            failing = True
        elif failing and (found := re.match(r"\s+jobid: (\d+)", line)):
            # Of a group that failed all jobs are named.
            told.failed.add(int(found[1]))
        elif found := re.match(r"Trying to restart job (\S+?)\.?$", line):
            told.failed -= {int(found[1])} if found[1].isdigit() else set()
    return told


def trainings(results: Path, epochs: Mapping[str, int | None]) -> list[Training]:
    """The trainings of a study that have begun and are not done, from the histories in their states.

    Args:
        results: `results/<study>`.
        epochs: by rule, how many there are.
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
            lately = [row["seconds"] for row in history[-LATELY:]]
            seconds = statistics.median(lately) if lately else None
            found.append(Training(rule, name(folder), len(history), epochs.get(rule) or 0, seconds))
    return found


def _fold(name: str) -> str:
    return name.replace("-", " ")


def _history(folder: Path) -> list[dict[str, Any]]:
    """The epochs in the newest state below a folder; of training tasks side by side, the first one's."""
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
    """All rules together: planned, done, running, waiting, failed."""
    names = ("planned", "done", "running", "waiting", "failed")
    return Counter({name: sum(getattr(stage, name) for stage in stages) for name in names})
