"""`python -m lumbarseg export`: a bundle's networks as ONNX."""

import argparse
import os
from pathlib import Path
from typing import Any

from lumbarseg.deployment.bundle import Bundle
from lumbarseg.workflow.joblog import job


def add_parser(commands: Any) -> None:
    """Add the command to `python -m lumbarseg`."""
    parser = commands.add_parser(
        "export",
        help="write a bundle's networks as ONNX",
        description="Write a bundle's networks as ONNX, with what has to be done before and after them (docs/segment.md).",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="made by `snakemake bundle`")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the files; made where it is missing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export a bundle; see `export.export_onnx`."""
    bundle = Bundle(arguments.bundle)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    terminal = os.fdopen(os.dup(2), "w")
    with job(arguments.out / "export.log"):
        from lumbarseg.deployment.export import export_onnx

        export_onnx(bundle, arguments.out, lambda name: print(arguments.out / name, file=terminal, flush=True))
