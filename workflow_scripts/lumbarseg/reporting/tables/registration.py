"""Which registrations are flagged."""

from pathlib import Path

import pandas as pd

from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.writing import Table


@table(
    "table_registration",
    section="Data",
    title="Registration of T1w to T2w",
    caption="Registrations that are flagged for inspection. Corners: displacement of the farthest corner of the T2w image; "
    "information: mutual information in nats; overlap: share of the T2w image; uncovered: sides of the T2w image without T1w.",
    needs={"sessions": "metrics/registration.csv"},
    when="with_t1w",
)
def table_registration(sessions: Path) -> Table:
    """Make the table of flagged registrations."""
    return registration_table(pd.read_csv(sessions, keep_default_na=False))


def registration_table(sessions: pd.DataFrame) -> Table:
    """List the flagged sessions.

    Args:
        sessions: the table `metrics/registration.csv`; flag is an empty text where there is none.
    """
    flagged = sessions[sessions["flag"] != ""].drop(columns=["engine", "degrees_of_freedom", "seconds"])
    remark = (
        f"{len(flagged)} of {len(sessions)} sessions are flagged. Over all sessions the median shift is "
        f"{sessions['shift_mm'].median():.2f} mm, the median rotation {sessions['rotation_degrees'].median():.2f} degrees."
    )
    if flagged.empty:
        flagged = pd.DataFrame([{"session": "none", "flag": "none is flagged"}])
    return Table(flagged.reset_index(drop=True), remark, decimals=2, best_bold=False)
