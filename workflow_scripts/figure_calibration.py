"""Draw the reliability diagram of each class."""

import pandas as pd

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.curves import reliability_diagrams
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    # A class may be named NA.
    points, errors = (
        pd.read_csv(path, keep_default_na=False, na_values={"mean_score": [""], "true_share": [""]})
        for path in (snakemake.input.calibration, snakemake.input.errors)
    )
    shown = (frame[frame["model"].isin(params.models)] for frame in (points, errors))
    save_figure(reliability_diagrams(*shown, LabelTable(params.classes, params.background)), *snakemake.output)
