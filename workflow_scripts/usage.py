"""Sum up time, GPUs and memory of the study by stage."""

from pathlib import Path

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.usage import usage_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    networks = read_csv(snakemake.input.networks).set_index("topology")["multiply_accumulates"]
    usage = usage_table(
        {rule: [Path(path) for path in snakemake.input[rule]] for rule in snakemake.params.rules},
        zip(snakemake.params.topologies, map(read_csv, snakemake.input.histories), strict=True),
        map(read_csv, snakemake.input.meta_learners),
        networks.to_dict(),
    )
    write_csv(snakemake.output[0], usage)
