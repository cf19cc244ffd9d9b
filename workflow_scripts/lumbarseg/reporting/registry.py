"""How a figure or table is declared: `@figure(…)` or `@table(…)` above the function that makes it.

    @figure(
        "fig_8",
        section="Comparison",
        caption="IoU of each class over the test slices.",
        needs={"per_slice": "metrics/iou_per_slice.csv"},
        when="compared",
    )
    def figure_8(per_slice: Path, compared: Sequence[str], labels: LabelTable) -> Figure: ...

That is all a new figure takes. Rules, stage targets, the page of results, Snakemake's report and the gallery read the declaration.
The function gets the files of `needs`, and as its other parameters the settings of those names (`contents.ReportSettings`); it is
called again when one of them changes, or the module it is in, or a module that this one imports.

Snakemake parses the workflow in every cluster job, so declarations are read from the source text (`declarations`) and nothing that
draws is imported. The arguments of `@figure` and `@table` are therefore literals.
"""

import ast
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lumbarseg.errors import InputError

SECTIONS = (
    "Data",
    "Segmentation",
    "Comparison",
    "Errors",
    "Uncertainty and calibration",
    "Training",
    "Networks",
    "Search",
    "Drafts",
)
"""Sections of the page of results and of Snakemake's report, in this order."""

_KINDS = ("figure", "table")

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """A figure or table as it is declared.

    Attributes:
        kind: `figure` or `table`.
        name: stem of its files, `fig_8`. With `for_each` it has a field, `errors_{experiment}`.
        section: one of `SECTIONS`.
        caption: one or more sentences: what is shown, and what to see in it.
        title: heading on the page; by default that of the name, `Figure 8`. Where `for_each` is given it may contain the
            field, and `{title}` for the heading of the field's value.
        needs: by parameter of the function, the file below `results/<study>/` that it gets.
        when: name of a setting; a study whose setting is empty or false does not have the figure. By default every study has it.
        for_each: name of a setting that lists values (or is a mapping by value); there is one figure for each.
        below: name of another table that this one is folded away below, on the page.
        of_study: whether the study includes it; otherwise it is made by a target of its own.
        parameters: parameters of the function.
        function: its full name, `lumbarseg.reporting.figures.boxes.figure_8`.
        file: the module.
    """

    kind: str
    name: str
    section: str
    caption: str
    title: str = ""
    needs: Mapping[str, str] = field(default_factory=dict)
    when: str = ""
    for_each: str = ""
    below: str = ""
    of_study: bool = True
    parameters: tuple[str, ...] = ()
    function: str = ""
    file: Path = Path()

    @property
    def item(self) -> str:
        """The field of the name: `experiment` of `errors_{experiment}`; empty without `for_each`."""
        found = re.search(r"\{(\w+)\}", self.name)
        return found[1] if found else ""


def figure(
    name: str,
    *,
    section: str,
    caption: str,
    title: str = "",
    needs: Mapping[str, str] | None = None,
    when: str = "",
    for_each: str = "",
    of_study: bool = True,
) -> Callable[[Function], Function]:
    """Declare the figure that a function draws; it returns a matplotlib figure. Arguments: see `Declaration`."""
    return lambda function: function


def table(
    name: str,
    *,
    section: str,
    caption: str,
    title: str = "",
    needs: Mapping[str, str] | None = None,
    when: str = "",
    for_each: str = "",
    below: str = "",
    of_study: bool = True,
) -> Callable[[Function], Function]:
    """Declare the table that a function makes; it returns a `tables.writing.Table`. Arguments: see `Declaration`."""
    return lambda function: function


def declarations(folder: Path = Path(__file__).parent, package: str = "lumbarseg.reporting") -> list[Declaration]:
    """Read what the modules of `figures/` and `tables/` declare, without importing them.

    Args:
        folder: the folder of the package, by default this one.
        package: its name.

    Returns:
        By section; in a section tables before figures, the paper's by their numbers and then the others, by module and line.

    Raises:
        InputError: an argument is no literal, or not of `@figure` or `@table`; an unknown section; a name declared twice.
    """
    found: list[Declaration] = []
    for path in sorted(folder.glob("*/*.py")):
        text = path.read_text(encoding="utf-8")
        if "@figure(" in text or "@table(" in text:
            module = ".".join([package, *path.relative_to(folder).with_suffix("").parts])
            found += _read(path, module, ast.parse(text))
    names = [(one.kind, one.name) for one in found]
    for one in found:
        if names.count((one.kind, one.name)) > 1:
            raise InputError(
                f"{one.file}: the {one.kind} `{one.name}` is declared twice; give one of them another name"
            )
    return sorted(found, key=lambda one: (SECTIONS.index(one.section), one.kind != "table", _number(one.name)))


def _read(path: Path, module: str, tree: ast.Module) -> list[Declaration]:
    found = []
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            for call in function.decorator_list:
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _KINDS:
                    found.append(_declaration(path, f"{module}.{function.name}", function, call, call.func.id))
    return found


def _declaration(path: Path, name: str, function: ast.FunctionDef, call: ast.Call, kind: str) -> Declaration:
    where = f"{path}, line {call.lineno}: @{kind}"
    arguments = dict(zip(("name",), call.args, strict=False))
    arguments |= {str(keyword.arg): keyword.value for keyword in call.keywords}
    literals = {argument: _literal(value, f"{where}, {argument}") for argument, value in arguments.items()}
    parameters = tuple(parameter.arg for parameter in [*function.args.args, *function.args.kwonlyargs])
    try:
        declared = Declaration(kind=kind, parameters=parameters, function=name, file=path, **literals)
    except TypeError as error:
        raise InputError(f"{where}: {str(error).removeprefix('Declaration.__init__() ')}") from None
    if declared.section not in SECTIONS:
        raise InputError(f"{where}: unknown section `{declared.section}`; use one of {', '.join(SECTIONS)}")
    return declared


def _literal(value: ast.expr, where: str) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        raise InputError(
            f"{where}: not a literal; write the value itself, it is read without running the module"
        ) from None


def _number(name: str) -> tuple[bool, int]:
    """Order the paper's figures and tables by their numbers, before all others."""
    found = re.fullmatch(r"(?:fig|table)_(\d+)", name)
    return (found is None, int(found[1]) if found else 0)


def make(function: str, files: Mapping[str, str], settings: Mapping[str, Any]) -> Any:
    """Call the function of a declaration.

    Args:
        function: its full name.
        files: paths by parameter.
        settings: values by parameter; `labels` (`classes` and `background` of the config) is passed as a `LabelTable`.

    Returns:
        What it returns: a matplotlib figure, or a `tables.writing.Table`.
    """
    # Not at the top of the module: nothing of it is needed where Snakemake parses the rules.
    from lumbarseg.labels import LabelTable

    module, _, name = function.rpartition(".")
    given = dict(settings)
    if "labels" in given:
        given["labels"] = LabelTable(given["labels"]["classes"], given["labels"]["background"])
    paths = {parameter: Path(path) for parameter, path in files.items()}
    return getattr(importlib.import_module(module), name)(**paths, **given)
