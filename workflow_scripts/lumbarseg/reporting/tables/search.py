"""The hyper-parameter search as a table."""

from pathlib import Path

import pandas as pd

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.settings import decimal
from lumbarseg.reporting.tables.writing import Table

_MEASURES = {"val_accuracy": "Accuracy", "val_patch_iou": "Mean IoU"}


@table(
    "table_search",
    section="Search",
    title="Hyper-parameter search",
    caption="Validation accuracy and mean IoU of validation patches at the best epoch, per cent, of each combination of optimiser, "
    "learning rate and activation.",
    needs={"combinations": "search/combinations.csv"},
    of_study=False,
)
def table_search(combinations: Path) -> Table:
    """Make the table of the search."""
    return search_table(read_csv(combinations))


def search_table(ranked: pd.DataFrame) -> Table:
    """List the combinations of each topology, best first.

    Args:
        ranked: topology, optimiser, learning_rate, activation, val_accuracy, val_patch_iou (0 … 1), diverged, best, present
            (`search/combinations.csv`).

    Returns:
        Topology, Optimiser, Learning rate, Act-Conv (as Table 4 names them), Accuracy, Mean IoU (per cent) and Choice
        (`best`, `in the config`, `diverged`). Footnotes state what to write into the config where the best is not in it.
    """
    choice = [
        ", ".join(word for word, holds in zip(("best", "in the config", "diverged"), flags, strict=True) if holds)
        for flags in zip(ranked["best"], ranked["present"], ranked["diverged"], strict=True)
    ]
    values = pd.DataFrame(
        {
            "Topology": ranked["topology"],
            "Optimiser": ranked["optimiser"],
            "Learning rate": ranked["learning_rate"].map(decimal),
            "Act-Conv": ranked["activation"],
            **{name: 100 * ranked[column] for column, name in _MEASURES.items()},
            "Choice": choice,
        }
    )
    better = ranked[ranked["best"] & ~ranked["present"]].to_dict("records")
    footnotes = [
        f"To use the best for {row['topology']}, write {{optimiser: {row['optimiser']}, learning_rate: {decimal(row['learning_rate'])}, "
        f"activation: {row['activation']}}} into its entry of `topologies`."
        for row in better
    ]
    return Table(values, footnotes=footnotes, decimals=2, best_bold=False)
