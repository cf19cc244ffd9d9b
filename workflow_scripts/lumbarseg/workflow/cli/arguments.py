"""Arguments that commands share."""

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lumbarseg.errors import InputError


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


def require_room(folder: Path, names: Sequence[str], inputs: Sequence[Path], overwrite: bool) -> None:
    """Create the folder of the results, and require that writing them there replaces nothing of the user's.

    Args:
        folder: the folder.
        names: of all files that may result.
        inputs: files and folders that are read; they are never replaced.
        overwrite: whether results of an earlier run are replaced.

    Raises:
        InputError: the folder cannot be created or written to, is or holds an input, or has results already.
    """
    _make_folder(folder)
    for path in inputs:
        if _same(path, folder):
            raise InputError(f"{folder}: a folder that is read; name another one as --output")
        if any(_same(path, folder / name) for name in names):
            raise InputError(f"{path}: read, and would be replaced by a result; name another folder as --output")
    taken = [name for name in names if os.path.lexists(folder / name)]
    if folders := [name for name in taken if (folder / name).is_dir()]:
        raise InputError(f"{folder / folders[0]}: a folder where a result would be; name another folder as --output")
    if taken and not overwrite:
        shown = ", ".join(taken[:3]) + (" …" if len(taken) > 3 else "")
        raise InputError(
            f"{folder}: has {shown} already; name another folder as --output, or replace them with --overwrite"
        )


def new_log(folder: Path, name: str) -> Path:
    """Create a log that replaces none: `<name>.log`, or with a number if there is one.

    Raises:
        InputError: the folder cannot be written to.
    """
    for number in itertools.count(1):
        log = folder / (f"{name}.log" if number == 1 else f"{name}-{number}.log")
        try:
            log.open("x").close()
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(
                f"{folder}: cannot write to the folder ({error.strerror}); name another one as --output"
            ) from error
        return log
    raise AssertionError("numbers do not end")


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file or folder, by whatever name; not if one is missing, which whoever reads it says."""
    try:
        return one.samefile(other)
    except OSError:
        return False


@contextmanager
def moved_together(folder: Path, names: Sequence[str], inputs: Sequence[Path], overwrite: bool) -> Iterator[Path]:
    """Give a folder in which results are made; they are moved to the user's folder together, when all are there.

    Results of an earlier run that this one does not have are removed then. If the block fails, `folder` stays as it was.

    Args:
        folder, names, inputs, overwrite: as for `require_room`, which is asked again at the end: another run may have ended.

    Yields:
        An empty folder.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as made:
        yield Path(made)
        require_room(folder, names, inputs, overwrite)
        for name in names:
            (folder / name).unlink(missing_ok=True)
        for path in sorted(Path(made).iterdir()):
            path.replace(folder / path.name)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot create the folder ({error.strerror}); name another one as --output"
        ) from error
    if not writable:
        raise InputError(f"{folder}: no permission to write to the folder; name another one as --output")
