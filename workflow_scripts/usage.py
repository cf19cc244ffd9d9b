"""Say what the study cost: time, cards and memory by stage."""

from pathlib import Path

import pandas as pd

from lumbarseg.reporting.tables.writing import Table, write_table
from lumbarseg.reporting.usage import usage_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    networks = pd.read_csv(snakemake.input.networks).set_index("topology")["multiply_accumulates"]
    frame = usage_table(
        {rule: [Path(path) for path in snakemake.input[rule]] for rule in snakemake.params.rules},
        zip(snakemake.params.topologies, map(pd.read_csv, snakemake.input.histories), strict=True),
        map(pd.read_csv, snakemake.input.meta_learners),
        networks.to_dict(),
    )
    caption = (
        "What the study cost by stage: hours of all jobs, and of those with networks (GPU hours, where each has a card); "
        "processors used on average (sampled every half minute, so too few for short jobs); most memory of a job; share of a "
        "training's time in its epochs, and operations a second there."
    )
    write_table(Table(frame, caption, decimals=2, best_bold=False), *snakemake.output)
