"""Compute the calibration of each model and class from the sums of all folds."""

import pandas as pd

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.calibration import calibration_errors, calibration_of_study
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    sums = pd.concat(map(read_csv, snakemake.input.sums), ignore_index=True)
    points = calibration_of_study(sums, snakemake.params.classes)
    write_csv(snakemake.output.calibration, points)
    write_csv(snakemake.output.errors, calibration_errors(points))
