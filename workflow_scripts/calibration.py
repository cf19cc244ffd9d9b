"""Put the sums of scores of all folds together: reliability of each class, and its calibration errors."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.evaluation.calibration import calibration_errors, calibration_of_study
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    rows = pd.concat([pd.read_csv(path) for path in snakemake.input.sums], ignore_index=True)
    points = calibration_of_study(rows, snakemake.params.classes)
    frames = {snakemake.output.calibration: points, snakemake.output.errors: calibration_errors(points)}
    for path, frame in frames.items():
        with atomic_write(path) as temporary:
            frame.to_csv(temporary, index=False)
