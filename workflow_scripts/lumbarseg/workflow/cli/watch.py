"""`lumbarseg watch`: progress of the latest run."""

import argparse
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumbarseg.errors import InputError
from lumbarseg.workflow.cli.arguments import add_command, positive_seconds

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from lumbarseg.workflow.runs import Run

_DESCRIPTION = """\
Show the jobs of the latest run in this folder by rule: planned, done, running, waiting and failed; and its
trainings with epoch, seconds per epoch and the time left (h:mm:ss). A terminal is updated until the run ends
or Ctrl-C is pressed; elsewhere the table is printed once.
"""
_EXAMPLES = """\
examples:
  lumbarseg watch                 # in the folder where snakemake was started
  lumbarseg watch --every 60
  lumbarseg watch > progress.txt  # once, as plain text
"""


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(commands, "watch", "show the progress of the latest run", _DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument(
        "--runs", type=Path, default=Path("logs/runs"), metavar="FOLDER", help="records of runs (default: %(default)s)"
    )
    parser.add_argument(
        "--every",
        type=positive_seconds,
        default=10,
        metavar="SECONDS",
        help="time between two updates (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Show the progress.

    Raises:
        InputError: nothing has been run in this folder, or SLURM does not answer.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(width=None if sys.stdout.isatty() else 120)
    latest = _latest(arguments.runs)
    if not console.is_terminal:
        console.print(_page(latest))
        return
    with Live(_page(latest), console=console, auto_refresh=False) as live:
        try:
            while not latest.has_ended:
                time.sleep(arguments.every)
                latest = _latest(arguments.runs)
                live.update(_page(latest), refresh=True)
        except KeyboardInterrupt:
            pass


def _latest(runs: Path) -> "Run":
    from lumbarseg.workflow.runs import runs_of

    found = runs_of(runs)
    if not found:
        raise InputError(f"{runs}: no record of a run; start one, or call this in the folder where it was started")
    return found[-1]


def _page(run: "Run") -> "Group":
    from rich.console import Group

    from lumbarseg.workflow import progress, slurm

    # SLURM may be installed but not set up; a run that does not use it must not need it.
    jobs = slurm.jobs_of(Path.cwd()) if run.name else []
    stages = progress.stages(run, jobs)
    state = {True: "ended", False: "running", None: "not visible from this machine"}[run.has_ended]
    total = progress.totals(stages)
    title = (
        f"{run.content['results']}: {total['done']} of {total['planned']} jobs done, {total['running']} running, "
        f"{total['waiting']} waiting, {total['failed']} failed; process {run.content['process']} on {run.content['host']}: {state}"
    )
    table = _table("rule", right=("planned", "done", "running", "waiting", "failed"))
    for stage in stages:
        numbers = [stage.planned, stage.done, stage.running, stage.waiting, stage.failed]
        style = (
            "red" if stage.failed else "green" if stage.done == stage.planned else "bold" if stage.running else "dim"
        )
        table.add_row(stage.rule, *(str(number or "·") for number in numbers), style=style)
    parts: list[Any] = [title, "", table]
    trainings = progress.trainings(Path(run.content["results"]), run.content["epochs"])
    if trainings:
        table = _table("training", "", right=("epoch", "s/epoch", "left"))
        for training in trainings:
            seconds = "·" if training.seconds is None else f"{training.seconds:.1f}"
            left = "·" if training.left is None else str(timedelta(seconds=round(training.left)))
            table.add_row(training.rule, training.name, f"{training.epoch}/{training.epochs}", seconds, left)
        parts += ["", table]
    return Group(*parts)


def _table(*names: str, right: tuple[str, ...]) -> "Table":
    from rich.table import Column, Table

    return Table(*names, *(Column(name, justify="right") for name in right), box=None)
