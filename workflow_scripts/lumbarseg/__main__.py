"""`python -m lumbarseg COMMAND`: what can be done without Snakemake."""

import argparse
import sys
from collections.abc import Sequence

from lumbarseg.errors import InputError
from lumbarseg.workflow.cli import clear, export, segment, watch


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give its exit status. A mistake of the user ends it with a sentence and status 1."""
    parser = argparse.ArgumentParser(prog="python -m lumbarseg", description="Segmentation of the lumbar spine in MR.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    clear.add_parser(commands)
    watch.add_parser(commands)
    segment.add_parser(commands)
    export.add_parser(commands)
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen) or 0)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
