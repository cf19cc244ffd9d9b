"""What rules `figure`, `table` and `results_page` take and make: the figures and tables of a study, with their paths.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from lumbarseg.config.study import Study
from lumbarseg.errors import InputError
from lumbarseg.reporting.contents import Entry, contents, page_settings, report_settings
from lumbarseg.workflow.library_inputs import library_inputs
from lumbarseg.workflow.paths import Paths

_SHOWN = ("kind", "name", "section", "title", "caption", "below", "is_one_of_many")
"""Attributes of an entry that the page of results shows."""


class Report:
    """The figures and tables of a study. Functions that Snakemake calls with wildcards are named in the docstrings.

    Attributes:
        settings: what figures and tables are made of.
        entries: by kind (`figure`, `table`) and name, what can be made.
    """

    def __init__(self, study: Study, paths: Paths) -> None:
        """List the figures and tables.

        Args:
            study: the checked config.
            paths: of its results.

        Raises:
            InputError: a declaration has a mistake.
        """
        self._study, self._paths = study, paths
        self.settings = report_settings(study)
        self.entries = {(entry.kind, entry.name): entry for entry in contents(self.settings)}

    @property
    def all_tables(self) -> list[str]:
        """The tables that the study includes, in every format."""
        return [path for entry in self._of_study("table") for path in self._paths.table(entry.name)]

    @property
    def all_figures(self) -> list[str]:
        """The figures that the study includes, in both formats."""
        return [path for entry in self._of_study("figure") for path in self._paths.figure(entry.name)]

    def _of_study(self, *kinds: str) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.kind in kinds and entry.of_study]

    def entry(self, kind: str, wildcards: Any) -> Entry:
        """Return the entry of a job, whose wildcard `figure` or `table` is its name.

        Raises:
            InputError: the study has no such figure or table.
        """
        name = wildcards[kind]
        if (kind, name) not in self.entries:
            known = ", ".join(entry.name for entry in self._of_study(kind))
            raise InputError(f"{kind}s/{name}: this study has no such {kind}; choose one of {known}")
        return self.entries[kind, name]

    def inputs(self, kind: str) -> Callable[[Any], dict[str, Any]]:
        """Return an input function: the modules that make a figure or table, and by parameter the files it needs."""

        def files(wildcards: Any) -> dict[str, Any]:
            entry = self.entry(kind, wildcards)
            return {
                "modules": _modules(entry.module),
                **{name: self._paths.result(path) for name, path in entry.files.items()},
            }

        return files

    def parameter(self, kind: str, attribute: str) -> Callable[[Any], Any]:
        """Return a params function: an attribute of the entry."""
        return lambda wildcards: getattr(self.entry(kind, wildcards), attribute)

    def in_report(self, kind: str, file_format: str) -> dict[str, Any]:
        """Return the arguments of Snakemake's `report` that do not depend on the place of the caption's file."""

        def labels(wildcards: Any) -> dict[str, str]:
            return {kind: self.entry(kind, wildcards).title, "format": file_format}

        return {
            "category": self.parameter(kind, "section"),
            "subcategory": f"{kind.capitalize()}s",
            "labels": labels,
        }

    @property
    def page_items(self) -> list[dict[str, Any]]:
        """What the page shows of each figure and table, as plain data."""
        return [{name: getattr(entry, name) for name in _SHOWN} for entry in self._of_study("figure", "table")]

    @property
    def page_files(self) -> list[str]:
        """The files of `page_items`: the PNG of a figure, the printed cells of a table."""
        return [
            self._paths.figure(entry.name)[1] if entry.kind == "figure" else self._paths.printed_table(entry.name)
            for entry in self._of_study("figure", "table")
        ]

    @property
    def page_settings(self) -> dict[str, str]:
        """The settings on the page, name and text."""
        return page_settings(self._study)


@cache
def _modules(module: Path) -> list[str]:
    return [os.path.relpath(path) for path in library_inputs(module)]
