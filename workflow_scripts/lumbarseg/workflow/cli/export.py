"""`lumbarseg export`: the networks of a bundle as ONNX."""

import argparse
import os
from typing import Any

from lumbarseg.workflow.cli.arguments import add_command, add_output, path, positional_or_named
from lumbarseg.workflow.cli.results import results_job

_USAGE = """\
lumbarseg export --bundle BUNDLE --output OUT [--overwrite]
       lumbarseg export BUNDLE OUT [--overwrite]"""
_DESCRIPTION = """\
Write the networks of a bundle as ONNX, with bundle.json and the model card. docs/segment.md describes
the steps before and after the networks. Input: patches of z-scores, float32; output: scores that sum to 1.
Needs onnx and tf2onnx: pip install --require-hashes -r envs/onnx.txt
"""
_EXAMPLES = """\
examples:
  lumbarseg export --bundle best.zip --output onnx
"""


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "export", "write the networks of a bundle as ONNX", _DESCRIPTION, usage=_USAGE, epilog=_EXAMPLES
    )
    parser.add_argument("--bundle", type=path, metavar="BUNDLE", help="file made by `snakemake bundle`")
    add_output(parser)
    parser.add_argument("positional", type=path, nargs="*", help=argparse.SUPPRESS)
    parser.set_defaults(run=lambda parsed: run(parser, parsed))


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Export a bundle; see `export.export_onnx`.

    Raises:
        InputError: the file is not a bundle, or the folder cannot be written to. A later error ends the process with one
            sentence and status 1; the traceback is in OUT/export.log.
    """
    positional_or_named(parser, arguments, ("bundle", "output"), {2: ("bundle", "output")})
    from lumbarseg.deployment.bundle import CARD, MANIFEST, Bundle
    from lumbarseg.deployment.manifest_model import networks_of
    from lumbarseg.workflow.joblog import open_terminal

    bundle = Bundle(arguments.bundle)
    # Networks of another bundle that was exported there would not be those of the new manifest.
    earlier = networks_of(arguments.output / MANIFEST)
    networks = dict.fromkeys([*bundle.model.networks, "meta_learner", *earlier])
    names = [f"{name}.onnx" for name in networks] + [MANIFEST, CARD]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    terminal = open_terminal()
    with results_job("export", arguments.output, names, [bundle.path], arguments.overwrite) as made:
        from lumbarseg.deployment.export import export_onnx

        export_onnx(bundle, made, lambda name: print(arguments.output / name, file=terminal, flush=True))
