"""Describe patients, acquisition and data set (Tables 1 to 3)."""

import pandas as pd

from lumbarseg.reporting.tables.cohort import acquisition_table, cohort_table, dataset_table
from lumbarseg.reporting.tables.writing import Table, write_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    channels, patients = snakemake.params.channels, {"participant_id": str, "session_id": str}
    cohort = pd.read_csv(snakemake.input.cohort, dtype=patients)
    folds = pd.read_csv(snakemake.input.folds, sep="\t", dtype=patients)
    fields = cohort.melt("participant_id", [name for name in cohort if name.startswith(tuple(channels))])
    fields[["contrast", "field"]] = fields["variable"].str.split("_", n=1, expand=True)
    tables = {
        "table_1": (cohort_table(cohort), "Patients of this study."),
        "table_2": (acquisition_table(fields.dropna(subset="value"), sorted(channels)), "Ranges of the acquisition."),
        "table_3": (dataset_table(cohort, folds, snakemake.params.side), "Data set used for training and testing."),
    }
    for name, (frame, caption) in tables.items():
        table = Table(frame, caption, decimals=None if name == "table_2" else 1, best_bold=False)
        write_table(table, *snakemake.output[name])
