"""The SLURM jobs of a folder: which there are, which belong to runs that were killed, and how to cancel those."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from lumbarseg.errors import InputError
from lumbarseg.workflow.runs import runs_of


@dataclass(frozen=True)
class Job:
    """A job that waits or runs.

    Attributes:
        number: SLURM's.
        run: the job's name, which is that of the run that submitted it.
        rule: the rule, or the group of rules.
        wildcards: as Snakemake joins them, `UMD_1`; may be empty.
        state: PENDING, RUNNING, COMPLETING, … as in SLURM.
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
    """Let the other jobs of a submission continue after one has failed, as `keep-going` does in the run itself.

    Snakemake has no setting for it (https://github.com/snakemake/snakemake/issues/2508): it does not pass `--keep-going` to
    submitted jobs, and these read neither a profile nor the environment. Without it one bad session would cost the later ones of
    its submission. Execution settings do not exist yet when a Snakefile is read, so they are changed when Snakemake begins to
    execute.

    Args:
        workflow: Snakemake's workflow object in a submitted job.
    """
    execute = workflow.execute

    def execute_all(*arguments: Any, **named: Any) -> Any:
        workflow.execution_settings.keep_going = True
        return execute(*arguments, **named)

    workflow.execute = execute_all


def jobs_of(folder: Path) -> list[Job]:
    """List this user's jobs that Snakemake submitted from a folder; none where there is no SLURM.

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
            f"squeue: SLURM does not list its jobs (`{answer}`); wait until it answers, or run this where it does"
        )
    jobs = []
    for line in done.stdout.splitlines():
        number, run, state, reason, elapsed, comment, where = line.split("|", 6)
        # The user's other jobs, submitted from the same folder by hand, have no such comment.
        submitted = re.fullmatch(r"(?:rule|group)_(\w+?)(?:_wildcards_(.*))?", comment)
        if submitted and Path(where).resolve() == folder.resolve():
            jobs.append(Job(number, run, submitted[1], submitted[2] or "", state, reason, elapsed))
    return jobs


def cancel(jobs: Sequence[Job], folder: Path, seconds: float = 300) -> None:
    """Cancel jobs and wait until their processes have ended.

    Args:
        jobs: of `jobs_of(folder)`.
        folder: where they were submitted.
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
                f"scancel: the jobs {', '.join(sorted(left))} have not ended after {seconds:.0f} s; ask your administrators, then "
                "run the same command again"
            )
        time.sleep(0.5)


def orphans(folder: Path, runs: Path) -> list[Job]:
    """List the jobs that runs of a folder have left in SLURM. SLURM is asked only if such runs have ended.

    Args:
        folder: where they ran.
        runs: the folder of their records.

    Raises:
        InputError: SLURM does not answer.
    """
    ended = {run.name for run in runs_of(runs) if run.has_ended and run.name}
    return [job for job in jobs_of(folder) if job.run in ended] if ended else []


def require_no_orphans(folder: Path, runs: Path) -> None:
    """Refuse to run next to jobs of a run that was killed, which may write the same files.

    Args:
        folder: where the workflow runs.
        runs: the folder of its records of runs.

    Raises:
        InputError: there are such jobs, or SLURM does not answer.
    """
    if left := orphans(folder, runs):
        numbers = ", ".join(job.number for job in left)
        raise InputError(
            f"SLURM: jobs of an earlier run that was killed are still there ({numbers}); `make resume` cancels them and continues "
            "from their last epochs"
        )


def clear(folder: Path, runs: Path) -> list[Job]:
    """Cancel the jobs that killed runs left in SLURM, and wait until they have ended. Other jobs are not touched.

    Args:
        folder: where the runs were.
        runs: the folder of their records.

    Returns:
        The jobs that were cancelled.

    Raises:
        InputError: a run goes on in this folder, or may do so on another machine.
    """
    for run in runs_of(runs):
        if not run.has_ended:
            state = "is running" if run.has_ended is False else "cannot be seen from this machine and may be running"
            raise InputError(
                f"{run.file}: process {run.content['process']} on {run.content['host']} {state} in this folder; wait for it or "
                "stop it, or remove the file if that machine no longer exists"
            )
    left = orphans(folder, runs)
    cancel(left, folder)
    return left
