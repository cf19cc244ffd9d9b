"""`lumbarseg clear`: cancel the jobs that killed runs left in SLURM."""

import argparse
from pathlib import Path
from typing import Any

from lumbarseg.workflow.cli.arguments import add_command

_DESCRIPTION = """\
Cancel the SLURM jobs that killed runs of this folder have left, and wait until they have ended.
Jobs of other folders, of runs that go on, and those submitted by hand are not touched.
`make resume` calls this command and then continues the run.
"""
_EXAMPLES = """\
examples:
  lumbarseg clear         # in the folder of the workflow
"""


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(commands, "clear", "cancel what killed runs left in SLURM", _DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument(
        "--runs", type=Path, default=Path("logs/runs"), metavar="FOLDER", help="records of runs (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Cancel the jobs.

    Raises:
        InputError: a run goes on in this folder, or SLURM does not answer.
    """
    from lumbarseg.workflow import slurm

    cancelled = slurm.clear(Path.cwd(), arguments.runs)
    for job in cancelled:
        print(f"clear: cancelled job {job.number} ({' '.join([job.rule, job.wildcards]).strip()}) of a killed run")
    if not cancelled:
        print("clear: no jobs of killed runs in this folder")
