"""Which sessions were left out by the selection, or used although they miss a criterion."""

from pathlib import Path

import pandas as pd

from lumbarseg.cohort.selection import COLUMNS, LEFT_OUT, USED
from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.writing import Table


@table(
    "table_selection",
    section="Data",
    title="Selection of sessions",
    caption="Criteria that sessions with a mask do not meet. For sessions with the outcome `used` they are warnings.",
    needs={"selection": "metrics/selection.csv"},
)
def table_selection(selection: Path) -> Table:
    """Make the table of the selection."""
    return selection_table(pd.read_csv(selection, dtype=str, keep_default_na=False))


def selection_table(rows: pd.DataFrame) -> Table:
    """List the criteria that are not met.

    Args:
        rows: the table `metrics/selection.csv`, texts.
    """
    sessions = rows.drop_duplicates(["participant_id", "session_id"])
    used = int((sessions["outcome"] != LEFT_OUT).sum())
    unmet = rows[rows["criterion"] != ""].reset_index(drop=True)
    if unmet.empty:
        unmet = pd.DataFrame([["all", "", USED, "all are met", "", ""]], columns=list(COLUMNS))
    return Table(unmet, f"{used} of {len(sessions)} sessions with a mask are used.", best_bold=False)
