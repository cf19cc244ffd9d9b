"""The values the paper prints in Table 7 and in the tables of its supplement; SOURCE.md says where they come from.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import csv
from functools import cache
from pathlib import Path

_HOME = Path(__file__).parent

ERRATA = {
    ("table_C8", "E7+TCD+MAP", "IoU with Bg."): "the paper prints 75.7, its own class rows give 76.0",
    ("table_7", "UMD+TH", "Vert"): "the paper prints 86.3 here and 86.5 in Table A.2",
    ("table_A2", "UMD+TH", "Vert"): "the paper prints 86.5 here and 86.3 in Table 7",
}
"""Cells in which the paper does not agree with itself: (table, experiment, row) → what is the matter."""


@cache
def cells() -> dict[tuple[str, str, str], float]:
    """The paper's cells in per cent, by table (`table_A1`), experiment (`UMD+TH`) and row: a class's name or an average's."""
    found = {}
    for file, row in (("iou.csv", "class_name"), ("averages.csv", "average")):
        with (_HOME / file).open(encoding="utf-8", newline="") as lines:
            for line in csv.DictReader(lines):
                table = "table_" + line["table"].replace(".", "")
                found[table, f"{line['experiment']}+{line['labelling']}", line[row]] = float(line["iou_percent"])
    return found


@cache
def class_names() -> list[str]:
    """The paper's classes in the order of their ids."""
    with (_HOME / "iou.csv").open(encoding="utf-8", newline="") as lines:
        names = {int(line["class_id"]): line["class_name"] for line in csv.DictReader(lines)}
    return [names[class_id] for class_id in sorted(names)]


def cell(table: str, experiment: str, row: str) -> float | None:
    """The paper's value in per cent: from this table, else from whichever other table has the experiment, else None."""
    if (table, experiment, row) in cells():
        return cells()[table, experiment, row]
    return next((value for (_, name, of), value in cells().items() if (name, of) == (experiment, row)), None)
