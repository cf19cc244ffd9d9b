"""What a study cost, by stage."""

from pathlib import Path

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.writing import Table


@table(
    "table_usage",
    section="Training",
    title="Cost by stage",
    caption="Cost of the study by stage: hours of all jobs, and of those that run networks (GPU hours, where each has a GPU); "
    "processors used on average (sampled every 30 s, so too low for short jobs); greatest memory of a job; share of the training "
    "time spent in epochs, and floating-point operations a second there.",
    needs={"usage": "metrics/usage.csv"},
)
def table_usage(usage: Path) -> Table:
    """Make the table of the cost."""
    return Table(read_csv(usage), decimals=2, best_bold=False)
