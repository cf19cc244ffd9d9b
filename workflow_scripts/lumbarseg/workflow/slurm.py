"""SLURM as the workflow sees it: the jobs of a folder, and the runs that sent them."""

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from lumbarseg.atomic_io import write_json
from lumbarseg.errors import InputError
from lumbarseg.training.lock import has_ended, identity


@dataclass(frozen=True)
class Job:
    """A job that waits or runs.

    Attributes:
        number: SLURM's.
        run: the job's name, which is that of the run that sent it.
        rule: the rule, or the group of rules.
        wildcards: as Snakemake joins them, `UMD_1`; may be empty.
        state: SLURM's word for it: PENDING, RUNNING, COMPLETING, …
        reason: the node it runs on, or why it waits.
        elapsed: time since it began, as SLURM writes it.
    """

    number: str
    run: str
    rule: str
    wildcards: str
    state: str
    reason: str
    elapsed: str


def keep_going(workflow: Any) -> None:
    """Have the jobs of a submission go on past one that failed, as the run that sent them does.

    Snakemake does not pass `keep-going` on to them, nor do they read a profile: one bad session would cost those that come
    after it in its submission.

    Args:
        workflow: Snakemake's, while it reads the workflow in a job; its settings come with `execute`.
    """
    execute = workflow.execute

    def going_on(*arguments: Any, **named: Any) -> Any:
        workflow.execution_settings.keep_going = True
        return execute(*arguments, **named)

    workflow.execute = going_on


def jobs_of(folder: Path) -> list[Job]:
    """This user's jobs that Snakemake sent from a folder. None where there is no SLURM.

    Raises:
        InputError: SLURM does not answer.
    """
    if which("squeue") is None:
        return []
    user = str(os.getuid())
    command = ["squeue", "--user", user, "--noheader", "--format", "%i|%j|%T|%R|%M|%k|%Z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        answer = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise InputError(
            f"squeue: expected SLURM's list of jobs, found `{answer}`; wait until SLURM answers, "
            "or run this where it does"
        )
    jobs = []
    for line in done.stdout.splitlines():
        number, run, state, reason, elapsed, comment, where = line.split("|", 6)
        # Other jobs of the user, sent from the same folder by hand, carry no such comment.
        sent = re.fullmatch(r"(?:rule|group)_(\w+?)(?:_wildcards_(.*))?", comment)
        if sent and Path(where).resolve() == folder.resolve():
            jobs.append(Job(number, run, sent[1], sent[2] or "", state, reason, elapsed))
    return jobs


def cancel(jobs: Sequence[Job], folder: Path, seconds: float = 300) -> None:
    """Cancel jobs and wait until their processes have ended.

    Args:
        jobs: of `jobs_of(folder)`.
        folder: where they were sent from.
        seconds: how long they may take.

    Raises:
        InputError: they do not end.
    """
    numbers = {job.number for job in jobs}
    if not numbers:
        return
    subprocess.run(["scancel", *sorted(numbers)], check=False)
    until = time.monotonic() + seconds
    while left := numbers & {job.number for job in jobs_of(folder)}:
        if time.monotonic() > until:
            raise InputError(
                f"squeue: expected the jobs {', '.join(sorted(left))} to end, found them still there {seconds:.0f} s after "
                "scancel; ask your administrators, then run the same command again"
            )
        time.sleep(0.5)


# ---- runs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A call of snakemake that began work.

    Attributes:
        file: its record.
        log: what Snakemake wrote of it.
        content: what `begin` was given, and `lock.identity`.
    """

    file: Path
    log: Path
    content: dict[str, Any]

    @property
    def has_ended(self) -> bool | None:
        """Whether its process has ended; None where that cannot be seen from this machine."""
        return has_ended(self.content)

    @property
    def name(self) -> str | None:
        """The name of its SLURM jobs; None as long as it has sent none."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        found = re.search(r"SLURM run ID: (\S+)", text)
        return found[1] if found else None


def begin(runs: Path, log: str, **content: Any) -> None:
    """Leave a record of this process as a run, and remove those of runs that have ended.

    Args:
        runs: the folder of records.
        log: what Snakemake writes of the run.
        content: what else the record says.
    """
    for run in runs_of(runs):
        if run.has_ended:
            run.file.unlink(missing_ok=True)
    who = identity()
    record = {**content, **who, "log": str(log), "began": time.time()}
    write_json(runs / f"{who['host']}-{who['process']}.json", record)


def runs_of(runs: Path) -> list[Run]:
    """The runs of which there are records, the latest last."""
    records = [(file, json.loads(file.read_text(encoding="utf-8"))) for file in runs.glob("*.json")]
    found = [Run(file, Path(content["log"]), content) for file, content in records]
    return sorted(found, key=lambda run: run.content["began"])


def orphans(folder: Path, runs: Path) -> list[Job]:
    """Jobs that were sent from a folder by runs that have ended since. SLURM is asked only if there were such runs.

    Raises:
        InputError: SLURM does not answer.
    """
    ended = {run.name for run in runs_of(runs) if run.has_ended and run.name}
    return [job for job in jobs_of(folder) if job.run in ended] if ended else []


def require_no_orphans(folder: Path, runs: Path) -> None:
    """Require that killed runs of a folder have left no jobs in SLURM.

    Raises:
        InputError: there are some, or SLURM does not answer.
    """
    left = orphans(folder, runs)
    if left:
        raise InputError(
            f"SLURM: jobs {', '.join(job.number for job in left)} of a killed run are still in the queue; `make resume` ends them "
            "and goes on from where they were"
        )


def clear(folder: Path, runs: Path) -> list[Job]:
    """Cancel what runs that were killed left in SLURM, and wait until it has ended. Nothing else is touched.

    Args:
        folder: where they ran.
        runs: the folder of their records.

    Returns:
        The jobs that were cancelled.

    Raises:
        InputError: a run goes on in this folder, or may do so on another machine.
    """
    for run in runs_of(runs):
        if not run.has_ended:
            seen = "goes on" if run.has_ended is False else "may go on there, which cannot be seen from here"
            raise InputError(
                f"{run.file}: expected no run in this folder, found process {run.content['process']} on {run.content['host']}, "
                f"which {seen}; wait for it or stop it, or remove this file if that machine is no more"
            )
    left = orphans(folder, runs)
    cancel(left, folder)
    return left
