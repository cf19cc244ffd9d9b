"""The page of results: settings, every table and every figure, in one file that opens without a network."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from lumbarseg.reporting.embedding import embedded_picture
from lumbarseg.reporting.registry import SECTIONS
from lumbarseg.reporting.tables.writing import Cell, read_printed

_LARGE = 500_000
"""Bytes of a PNG above which it is embedded as WebP; the file in `figures/` stays as it is."""
_TEMPLATE = Path(__file__).with_suffix(".html")


@dataclass(frozen=True)
class PageItem:
    """A figure or table on the page; all but `file` is that of its `contents.Entry`.

    Attributes:
        kind: `figure` or `table`.
        name: stem of its files.
        section: one of `registry.SECTIONS`.
        title: heading.
        caption: of a figure; a table's file has its caption.
        file: the PNG, or the JSON of a printed table.
        below: the table that this one is folded away below.
        is_one_of_many: whether it is folded away with the others of its kind (figures only).
    """

    kind: str
    name: str
    section: str
    title: str
    caption: str
    file: Path
    below: str = ""
    is_one_of_many: bool = False


def results_page(
    study: str,
    items: Sequence[PageItem],
    ranking: pd.DataFrame,
    worst_cases: pd.DataFrame,
    networks: pd.DataFrame,
    settings: Mapping[str, str],
    differences_from: Sequence[tuple[str, str, str]] = (),
) -> str:
    """Render the page.

    Args:
        study: the study's name.
        items: figures and tables, in their order.
        ranking: the table `metrics/ranking.csv`.
        worst_cases: the table `metrics/worst_cases.csv`, ids as texts.
        networks: the table `metrics/networks.csv`: topology, trainable_parameters, multiply_accumulates.
        settings: what was run, name and text.
        differences_from: settings that differ from the paper's: key, value of this study, value of the paper's.

    Returns:
        The HTML, with the figures in it.
    """
    known = ranking.dropna(subset=["mean_iou"])
    listed = set(worst_cases["experiment"])
    companions = {item.below: _table(item, listed) for item in items if item.kind == "table" and item.below}
    notes = {
        f"network_{row['topology']}": f"{row['trainable_parameters']:,} trainable parameters, "
        f"{row['multiply_accumulates'] / 1e9:.1f} G multiply–accumulates per patch (convolutions)"
        for row in networks.to_dict("records")
    }
    sections: dict[str, dict[str, list[dict[str, Any]]]] = {name: {"tables": [], "figures": [], "folded": []} for name in SECTIONS}  # fmt: skip
    for item in items:
        section = sections[item.section]
        if item.kind == "figure":
            place = "folded" if item.is_one_of_many else "figures"
            section[place].append(_figure(item) | {"note": notes.get(item.name, "")})
        elif not item.below:
            section["tables"].append(_table(item, listed) | {"companion": companions.get(item.name)})
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["anchor"] = anchor
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        study=study,
        experiments=len(ranking),
        best=None if known.empty else known.iloc[0].to_dict(),
        settings=settings,
        differences_from=differences_from,
        sections={name: section for name, section in sections.items() if any(section.values()) or name == "Errors"},
        worst={
            experiment: rows.to_dict("records") for experiment, rows in worst_cases.groupby("experiment", sort=False)
        },
        error_maps={item.name for item in items if item.kind == "figure"},
    )


def anchor(name: str) -> str:
    """Turn a name into one that can be part of a link: `E12+NAD+TH` → `E12-NAD-TH`."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name)


def _table(item: PageItem, listed: set[str]) -> dict[str, Any]:
    table = read_printed(item.file)

    def link(text: str) -> str:
        return f"#worst-{anchor(text)}" if text in listed else ""

    def described(cell: Cell, numeric: bool) -> dict[str, Any]:
        return {"cell": cell, "link": link(cell.text), "numeric": numeric}

    return {
        "name": item.name,
        "title": item.title,
        "caption": table.caption,
        "columns": [
            {"text": text, "link": link(text), "numeric": numeric}
            for text, numeric in zip(table.headings, table.numeric, strict=True)
        ],
        "rows": [[described(*pair) for pair in zip(row, table.numeric, strict=True)] for row in table.rows],
        "footnotes": table.footnotes,
    }


def _figure(item: PageItem) -> dict[str, str]:
    return {
        "name": item.name,
        "title": item.title,
        "caption": item.caption,
        "content": embedded_picture(item.file, _LARGE),
    }
