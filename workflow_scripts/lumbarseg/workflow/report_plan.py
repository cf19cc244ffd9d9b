"""The figures and tables of a run as the rules ask for them: files, inputs, parameters, and their places in the report.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import os
from collections.abc import Callable
from typing import Any

from lumbarseg.errors import InputError
from lumbarseg.reporting.contents import Entry, contents, page_settings, report_settings
from lumbarseg.workflow.library_inputs import library_inputs
from lumbarseg.workflow.plan import Plan

CAPTION = "report/item.rst"
"""The template of a figure's or table's caption in Snakemake's report, relative to the rules."""

_ON_THE_PAGE = ("kind", "name", "section", "title", "caption", "below", "is_one_of_many")


class ReportPlan:
    """What a study shows; figures and tables are declared in `lumbarseg.reporting`, where they are drawn.

    Attributes:
        settings: what the declarations can ask for.
    """

    def __init__(self, plan: Plan) -> None:
        """Read the declarations.

        Raises:
            InputError: a declaration cannot be used.
        """
        self._paths = plan.paths
        self.settings = report_settings(plan.study)
        self.page_settings = page_settings(plan.study)
        self._entries = {(entry.kind, entry.name): entry for entry in contents(self.settings)}

    def names(self, kind: str) -> list[str]:
        """Return the names of the study's figures or tables."""
        return [entry.name for entry in self._entries.values() if entry.kind == kind and entry.of_study]

    def figures(self) -> list[str]:
        """Return every figure of the study in both formats."""
        return [path for name in self.names("figure") for path in self._paths.figure(name)]

    def tables(self) -> list[str]:
        """Return every table of the study in every format."""
        return [path for name in self.names("table") for path in self._paths.table(name)]

    def entry(self, kind: str, wildcards: Any) -> Entry:
        """Return the figure or table of a job.

        Raises:
            InputError: the study has none of this name.
        """
        name = wildcards[kind]
        if (kind, name) not in self._entries:
            raise InputError(f"{kind}s/{name}: this study has no such {kind}; it has {', '.join(self.names(kind))}")
        return self._entries[kind, name]

    def inputs(self, kind: str) -> Callable[[Any], dict[str, Any]]:
        """Return an input function: the modules that make a figure or table, and the files it needs."""

        def files(wildcards: Any) -> dict[str, Any]:
            entry = self.entry(kind, wildcards)
            modules = [os.path.relpath(path) for path in library_inputs(entry.module)]
            return {"modules": modules} | {name: self._paths.result(path) for name, path in entry.files.items()}

        return files

    def attribute(self, kind: str, name: str) -> Callable[[Any], Any]:
        """Return a params function: an attribute of the figure or table."""
        return lambda wildcards: getattr(self.entry(kind, wildcards), name)

    def needs(self, kind: str) -> Callable[[Any], list[str]]:
        """Return a params function: the names of the files that a figure or table needs."""
        return lambda wildcards: list(self.entry(kind, wildcards).files)

    def in_report(self, kind: str, file_format: str) -> dict[str, Any]:
        """Return the arguments of Snakemake's `report` for a file of a figure or table."""

        def labels(wildcards: Any) -> dict[str, str]:
            return {kind: self.entry(kind, wildcards).title, "format": file_format}

        return {"caption": CAPTION, "category": self.attribute(kind, "section"), "labels": labels}

    def page_items(self) -> list[dict[str, Any]]:
        """Return the figures and tables of the page, in its order."""
        shown = [entry for entry in self._entries.values() if entry.of_study]
        return [{name: getattr(entry, name) for name in _ON_THE_PAGE} for entry in shown]

    def page_files(self) -> list[str]:
        """Return the file that the page shows of each item: a figure's PNG, a printed table's JSON."""
        return [
            self._paths.figure(item["name"])[1] if item["kind"] == "figure" else self._paths.printed_table(item["name"])
            for item in self.page_items()
        ]
