"""`python -m lumbarseg watch`: what of a run is done, what runs, what waits, what failed."""

import argparse
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table

from lumbarseg.errors import InputError
from lumbarseg.workflow import progress, slurm


def add_parser(commands: Any) -> None:
    """Add the command to `python -m lumbarseg`."""
    parser = commands.add_parser(
        "watch",
        help="what of the latest run is done, runs, waits, failed",
        description="Show the jobs of the latest run of this folder by rule, and its trainings with their epochs and the time "
        "left. On a terminal it is renewed until the run ends or Ctrl-C; elsewhere it is printed once.",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("logs/runs"), help="records of this folder's runs (%(default)s)"
    )
    parser.add_argument("--every", type=float, default=10, metavar="SECONDS", help="renew it that often (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Show it.

    Raises:
        InputError: nothing has been run in this folder, or SLURM does not answer.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    if not console.is_terminal:
        console.print(_page(_latest(arguments.runs)))
        return
    latest = _latest(arguments.runs)
    with Live(_page(latest), console=console, auto_refresh=False) as live:
        try:
            while not latest.has_ended:
                time.sleep(arguments.every)
                latest = _latest(arguments.runs)
                live.update(_page(latest), refresh=True)
        except KeyboardInterrupt:
            pass


def _latest(runs: Path) -> slurm.Run:
    found = slurm.runs_of(runs)
    if not found:
        raise InputError(
            f"{runs}: expected the record of a run, found none; start one, or call this where it was started"
        )
    return found[-1]


def _page(run: slurm.Run) -> Group:
    # A run that sent no jobs does not ask SLURM, which may be installed here and not set up.
    jobs = slurm.jobs_of(Path.cwd()) if run.name else []
    stages = progress.stages(run, jobs)
    state = {True: "ended", False: "at work", None: "not to be seen from here"}[run.has_ended]
    total = progress.totals(stages)
    title = (
        f"{run.content['results']}: {total['done']} of {total['planned']} jobs done, {total['running']} running, "
        f"{total['waiting']} waiting, {total['failed']} failed; run {run.content['process']} on {run.content['host']} {state}"
    )
    table = Table("rule", *(_right(name) for name in ("planned", "done", "running", "waiting", "failed")), box=None)
    for stage in stages:
        numbers = [stage.planned, stage.done, stage.running, stage.waiting, stage.failed]
        style = (
            "red" if stage.failed else "green" if stage.done == stage.planned else "bold" if stage.running else "dim"
        )
        table.add_row(stage.rule, *(str(number or "·") for number in numbers), style=style)
    parts: list[Any] = [title, "", table]
    trainings = progress.trainings(Path(run.content["results"]), run.content["epochs"])
    if trainings:
        table = Table("training", "", _right("epoch"), _right("s/epoch"), _right("left"), box=None)
        for training in trainings:
            seconds = "·" if training.seconds is None else f"{training.seconds:.1f}"
            left = "·" if training.left is None else str(timedelta(seconds=round(training.left)))
            table.add_row(training.rule, training.name, f"{training.epoch}/{training.epochs}", seconds, left)
        parts += ["", table]
    return Group(*parts)


def _right(name: str) -> Column:
    return Column(name, justify="right")
