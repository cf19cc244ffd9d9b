"""Draw the IoU on the validation slices against each class's threshold."""

import pandas as pd

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.curves import threshold_curves
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    # A class may be named NA.
    curves = pd.read_csv(snakemake.input.curves, keep_default_na=False, na_values={"iou": [""]})
    shown = curves[curves["model"].isin(params.models)]
    save_figure(threshold_curves(shown, LabelTable(params.classes, params.background)), *snakemake.output)
