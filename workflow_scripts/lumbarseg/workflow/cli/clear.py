"""`python -m lumbarseg clear`: end what a killed run left in SLURM."""

import argparse
from pathlib import Path
from typing import Any

from lumbarseg.workflow import slurm


def add_parser(commands: Any) -> None:
    """Add the command to `python -m lumbarseg`."""
    parser = commands.add_parser(
        "clear",
        help="end what a killed run left in SLURM",
        description="Cancel the jobs that killed runs of this folder left in SLURM, and wait until they have ended. Jobs of "
        "other folders, of runs that go on and those sent by hand are left alone. `make resume` calls it.",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("logs/runs"), help="records of this folder's runs (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Cancel orphans.

    Raises:
        InputError: a run goes on in this folder, or SLURM does not answer.
    """
    ended = slurm.clear(Path.cwd(), arguments.runs)
    for job in ended:
        print(f"clear: ended job {job.number} ({job.rule} {job.wildcards}) of a run that was killed")
    if not ended:
        print("clear: no jobs of killed runs in this folder")
