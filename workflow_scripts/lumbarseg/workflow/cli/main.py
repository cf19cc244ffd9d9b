"""The command line as a whole: its commands, its version, and how errors end it."""

import argparse
import os
import sys
from collections.abc import Sequence

import lumbarseg
from lumbarseg.errors import InputError
from lumbarseg.workflow.cli import clear, export, segment, watch
from lumbarseg.workflow.joblog import escape_undecodable

_EXAMPLES = """\
examples:
  lumbarseg segment --bundle best.zip --t2w T2W --t1w T1W --output OUT
  lumbarseg watch
  lumbarseg segment --help
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: those of the command line if None.

    Returns:
        The exit status: 0, or 1 after an error of the input. Wrong arguments end the process with 2.
    """
    parser = argparse.ArgumentParser(
        prog="lumbarseg",
        description="Segmentation of the lumbar spine in sagittal T1w and T2w MR, with a bundle of trained networks.\n"
        "Not a medical device.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lumbarseg {lumbarseg.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (segment, export, watch, clear):
        command.add_parser(commands)
    _replace_closed_streams()
    escape_undecodable()
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _replace_closed_streams() -> None:
    """Open the standard streams that the caller has closed (`>&-`), because Python and libraries expect them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))
