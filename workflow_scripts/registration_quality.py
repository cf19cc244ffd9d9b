"""Put all registrations side by side: a table of each, a table of the flagged ones, and a figure."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import atomic_write, read_json
from lumbarseg.imaging.quality_control import registration_table
from lumbarseg.reporting.figures.quality import registration_overview
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.reporting.tables.writing import Table, write_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    reports = {Path(path).name.partition("_from-")[0]: read_json(path) for path in snakemake.input.reports}
    table = registration_table(reports)
    with atomic_write(snakemake.output.csv) as temporary:
        table.to_csv(temporary, index=False)
    flagged = table[table["flag"] != ""].drop(columns=["engine", "degrees_of_freedom", "seconds"])
    caption = (
        f"Registration of T1w to T2w: the {len(flagged)} of {len(table)} sessions that somebody should look at. Corners: how far "
        "the farthest corner of the T2w image is moved; information: mutual information in nats; overlap: share of the T2w "
        f"image. Of all sessions the median shift is {table['shift_mm'].median():.2f} mm, the median rotation "
        f"{table['rotation_degrees'].median():.2f} degrees."
    )
    if flagged.empty:
        flagged = pd.DataFrame([{"session": "none", "flag": "none is flagged"}])
    write_table(
        Table(flagged.reset_index(drop=True), caption, decimals=2, best_bold=False),
        *snakemake.output.table,
    )
    save_figure(registration_overview(table, snakemake.params.limits), *snakemake.output.figure)
    if (table["flag"] != "").any():
        logger.warning(
            "registration: %d of %d sessions are flagged; look at %s",
            (table["flag"] != "").sum(),
            len(table),
            snakemake.params.page,
        )
