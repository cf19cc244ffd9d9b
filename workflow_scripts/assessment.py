"""Put what was measured of the folds' masks together."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    for kind in ("distances", "confusion"):
        frames = [
            pd.read_csv(path, dtype={"participant_id": str, "session_id": str}) for path in snakemake.input.get(kind)
        ]
        with atomic_write(snakemake.output.get(kind)) as temporary:
            pd.concat(frames, ignore_index=True).to_csv(temporary, index=False)
