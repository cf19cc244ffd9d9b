"""Arguments that commands share."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def add_command(commands: Any, name: str, summary: str, description: str, **named: Any) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: of the parser of the command line.
        name: of the command.
        summary: shown in the list of commands.
        description: shown by its `--help`, line by line as it is written.
        named: more arguments of `argparse.ArgumentParser`, such as `usage` and `epilog`.
    """
    return commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **named
    )


def positional_or_named(
    parser: argparse.ArgumentParser,
    parsed: argparse.Namespace,
    required: Sequence[str],
    forms: Mapping[int, Sequence[str]],
) -> None:
    """Set named arguments from positional ones, if these were given; end with a usage error if arguments are missing.

    Args:
        parser: of the command; `parsed.positional` has the positional arguments.
        parsed: gets `forms`' names as attributes.
        required: names without which the command cannot run.
        forms: by the number of positional arguments, their names in order.
    """
    names = list(dict.fromkeys(name for form in forms.values() for name in form))
    given = [name for name in names if getattr(parsed, name) is not None]
    if parsed.positional:
        if given or len(parsed.positional) not in forms:
            parser.error("name every path by its option, or give the paths alone in the order of the second usage line")
        for name, value in zip(forms[len(parsed.positional)], parsed.positional, strict=True):
            setattr(parsed, name, value)
        return
    if missing := [f"--{name}" for name in required if name not in given]:
        parser.error(f"the following arguments are required: {', '.join(missing)}")


def positive_int(text: str) -> int:
    """Parse a whole number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def path(text: str) -> Path:
    """Parse a path; empty text, as of a variable of the shell that is not set, would mean this folder."""
    if not text.strip():
        raise ValueError(text)
    return Path(text)


path.__name__ = "path"


def positive_seconds(text: str) -> float:
    """Parse a number of seconds above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


positive_seconds.__name__ = "number of seconds above 0"
positive_int.__name__ = "whole number above 0"  # argparse shows it: "invalid … value"


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the folder of the results."""
    parser.add_argument("--output", type=path, metavar="OUT", help="folder of the results; created if missing")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace results that are in OUT already (default: stop before anything is written)",
    )
