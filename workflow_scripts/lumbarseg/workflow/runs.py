"""Records of runs: the process of a run, and what Snakemake has logged of its jobs.

A record is a file of JSON lines. The first line identifies the run; each line after it is an event, see `RunRecorder`.
"""

import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from lumbarseg.atomic_io import atomic_write
from lumbarseg.process_identity import has_ended, identity

# Messages that Snakemake and its SLURM plugin log as text only; everything else comes as an event with fields.
_MESSAGES = {
    "slurm_run": re.compile(r"SLURM run ID: (?P<name>\S+)"),
    "submitted": re.compile(r"Job (?P<job>\S+) has been submitted with SLURM jobid (?P<number>\d+)"),
    "restarted": re.compile(r"Trying to restart job (?P<job>\S+?)\.?$"),
}

# How Snakemake words an `InputError` of an input or params function, and one that `rules/common.smk` passes on, with the lines of
# code that led to it.
_INPUT_ERRORS = (
    re.compile(r"\nError:\n  InputError: (?P<sentence>.*)\nWildcards:\n"),
    re.compile(r"\AWorkflowError in file \"[^\"\n]*common\.smk\", line \d+:\n(?P<sentence>.*)\n  File \""),
)


def shorten_input_error(record: logging.LogRecord) -> bool:
    """Filter of Snakemake's logger: of an `InputError` while the workflow is planned, only its sentence is shown.

    Anything else is a mistake of the workflow and keeps its traceback.

    Returns:
        True: every record is logged.
    """
    if record.levelno >= logging.ERROR:
        text = record.getMessage()
        found = next(filter(None, (pattern.search(text) for pattern in _INPUT_ERRORS)), None)
        if found:
            record.msg, record.args = found["sentence"], ()
    return True


@dataclass(frozen=True)
class Run:
    """A call of snakemake that began to execute jobs.

    Attributes:
        file: its record.
        content: what `RunRecorder.begin` was given, and `lock.identity` of its process.
    """

    file: Path
    content: dict[str, Any]

    @property
    def has_ended(self) -> bool | None:
        """Whether its process has ended; None where this machine cannot see it."""
        return has_ended(self.content)

    @property
    def name(self) -> str | None:
        """The name of its SLURM jobs; None for a run that does not use SLURM."""
        return next((event["name"] for event in self.events() if event["event"] == "slurm_run"), None)

    def events(self) -> Iterator[dict[str, Any]]:
        """Read the events of the run in order; an event that is being written is left out."""
        with self.file.open(encoding="utf-8") as lines:
            next(lines, None)
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)


class RunRecorder(logging.Handler):
    """Writes the jobs of a run to its record, as Snakemake logs them.

    It reads the fields that Snakemake gives log records for its logger plugins. They do not depend on the wording of
    messages, nor on `--quiet`. Events:

    - `run_info`: `stats`, the number of jobs by rule.
    - `job_info`: `job` and `rule`, of a job that starts or is submitted.
    - `group_info`: `jobs`, the members of a group that is submitted, by the name the group may have.
    - `job_finished`: `job`.
    - `job_error`: `job`.
    - `slurm_run`: `name`, of all SLURM jobs of the run.
    - `submitted`: `job`, a number or the name of a group, and `number` in SLURM.
    - `restarted`: `job`, as above.
    """

    def __init__(self) -> None:
        """Keep events in memory until `begin`: Snakemake logs some before it is known whether jobs will run."""
        super().__init__(logging.INFO)
        self._file: FileIO | None = None
        self._early: list[str] = []

    def begin(self, runs: Path, **content: Any) -> None:
        """Start the record of this process, and remove those of runs that have ended.

        Args:
            runs: the folder of records.
            content: what the record says of the run.
        """
        for run in runs_of(runs):
            if run.has_ended:
                run.file.unlink(missing_ok=True)
        who = identity()
        file = runs / f"{who['host']}-{who['process']}.jsonl"
        first = json.dumps({**content, **who, "began": time.time()})
        with atomic_write(file) as temporary:
            temporary.write_text("\n".join([first, *self._early, ""]), encoding="utf-8")
        # Without a buffer: `watch` sees each event at once, and closing has nothing to write.
        self._file = file.open("ab", buffering=0)

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event, if the log record is one."""
        event = _event(record)
        if event is None:
            return
        line = json.dumps(event)
        if self._file is None:
            self._early.append(line)
            return
        try:
            self._file.write(f"{line}\n".encode())
        except OSError:
            # A full disk must not end the run; `watch` shows the jobs up to here.
            self.close()

    def close(self) -> None:
        """Close the record; Snakemake does it at the end of the run."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()


def _event(record: Any) -> dict[str, Any] | None:
    event = getattr(record, "event", None)
    match event:
        case "run_info":
            return {"event": "run_info", "stats": record.stats}
        case "job_info":
            return {"event": "job_info", "job": record.jobid, "rule": record.rule_name}
        case "group_info":
            # A group is named by one of its members.
            return {"event": "group_info", "jobs": {job.uuid(): job.jobid for job in record.jobs}}
        case "job_finished":
            return {"event": "job_finished", "job": record.job_id}
        case "job_error":
            return {"event": "job_error", "job": record.jobid}
        case None:
            message = record.getMessage()
            for name, pattern in _MESSAGES.items():
                if found := pattern.search(message):
                    return {"event": name, **found.groupdict()}
    return None


def runs_of(runs: Path) -> list[Run]:
    """Read the records of a folder, the latest run last."""
    found = []
    for file in runs.glob("*.jsonl"):
        with file.open(encoding="utf-8") as lines:
            found.append(Run(file, json.loads(next(lines))))
    return sorted(found, key=lambda run: run.content["began"])
