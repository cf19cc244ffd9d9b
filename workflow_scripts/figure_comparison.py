"""Draw how stable ranks are, the IoU of each patient, and which classes are taken for which."""

import pandas as pd

from lumbarseg.evaluation.metrics import read_rows
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.matrices import confusion_matrices, patient_overview, rank_stability
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    save_figure(rank_stability(pd.read_csv(snakemake.input.ranking)), *snakemake.output.ranking)
    if params.measured:
        columns = ["experiment", "participant_id", "class_id", "iou"]
        per_patient = read_rows([snakemake.input.per_patient], columns)
        save_figure(patient_overview(per_patient, params.measured, labels), *snakemake.output.patients)
        confusion = pd.read_csv(snakemake.input.confusion)
        save_figure(confusion_matrices(confusion, params.measured, labels), *snakemake.output.confusion)
