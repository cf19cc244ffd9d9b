"""Combine the surface distances and the confusion of all folds."""

import pandas as pd

from lumbarseg.atomic_io import write_csv
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    for table in ("distances", "confusion"):
        # Ids stay texts: 01 must not become 1.
        text = {"participant_id": str, "session_id": str}
        frames = [pd.read_csv(path, dtype=text) for path in snakemake.input.get(table)]
        write_csv(snakemake.output.get(table), pd.concat(frames, ignore_index=True))
