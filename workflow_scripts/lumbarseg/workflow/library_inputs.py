"""Which files of the library define a rule's result: the modules that its script imports, directly or not.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import ast
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parents[1]
"""The folder of the package `lumbarseg`."""

INFRASTRUCTURE = (
    "lumbarseg",
    "lumbarseg.errors",
    "lumbarseg.atomic_io",
    "lumbarseg.characters",
    "lumbarseg.process_identity",
    "lumbarseg.spreadsheets",
    "lumbarseg.temporary_files",
    "lumbarseg.workflow.joblog",
    "lumbarseg.training.lock",
    "lumbarseg.config.fields",
    "lumbarseg.config.image_sections",
    "lumbarseg.config.model_sections",
    "lumbarseg.config.schema",
    "lumbarseg.config.messages",
)
"""Modules that every script may use and that change no result: messages, logs, whole and temporary files, locks."""


def library_inputs(script: Path, unused: Collection[str] = ()) -> list[Path]:
    """List a script and the library files that define its result.

    Imports are read from the sources, wherever they are in a file. A module brings the data files that belong to it: those of its
    own name (`results_page.html`), and for a package those of its folder.

    Args:
        script: a Python file that imports from `lumbarseg`.
        unused: modules that it imports and does not use with this config; they and what only they import are left out.

    Returns:
        The script, then the library's files in the order of their paths; `INFRASTRUCTURE` is left out.
    """
    found: set[str] = set()
    pending = list(_imports(script))
    while pending:
        module = pending.pop()
        if module not in found and module not in INFRASTRUCTURE and module not in unused:
            found.add(module)
            pending += _imports(_file(module))
    return [script, *sorted(path for module in found for path in (_file(module), *_data(_file(module))))]


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """The modules of the library that a file imports, with the packages that contain them; no infrastructure."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lumbarseg":
            submodules = (f"{node.module}.{alias.name}" for alias in node.names)
            names |= {node.module, *filter(_exists, submodules)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.split(".")[0] == "lumbarseg"}
    return tuple(sorted({module for name in names - set(INFRASTRUCTURE) for module in _with_packages(name)}))


def _with_packages(name: str) -> Iterator[str]:
    """A module, and before it the packages that contain it."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


@cache
def _exists(module: str) -> bool:
    return _file(module).is_file()


@cache
def _file(module: str) -> Path:
    place = LIBRARY.joinpath(*module.split(".")[1:])
    package = place / "__init__.py"
    return package if package.is_file() else place.with_suffix(".py")


def _data(path: Path) -> list[Path]:
    """The data files that belong to a module."""
    if path.name == "__init__.py":
        return [other for other in path.parent.iterdir() if other.suffix in (".csv", ".json", ".yaml")]
    return [other for other in path.parent.glob(f"{path.stem}.*") if other.suffix not in (".py", ".pyc")]
