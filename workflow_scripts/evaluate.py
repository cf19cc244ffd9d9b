"""Compute IoU, its statistics and the ranking of the experiments from the counts of all folds."""

from lumbarseg.atomic_io import write_csv, write_json
from lumbarseg.evaluation.metrics import fold_iou, patient_iou, read_rows, slice_iou, worst_cases
from lumbarseg.evaluation.ranking import rank_experiments
from lumbarseg.evaluation.statistics import wilcoxon
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.environment import describe_machine
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    output, comparison = snakemake.output, snakemake.params.comparison
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    counts = read_rows(snakemake.input.counts)
    per_slice, per_patient = slice_iou(counts), patient_iou(counts, labels)
    resampling = {key: comparison[key] for key in ("resamples", "seed")}
    write_csv(output.per_slice, per_slice)
    write_csv(output.per_patient, per_patient)
    write_csv(output.iou, fold_iou(counts, labels))
    write_csv(output.wilcoxon, wilcoxon(per_slice, comparison["reference"], **resampling))
    write_csv(output.ranking, rank_experiments(per_patient, labels.background, **resampling))
    write_csv(output.worst_cases, worst_cases(per_slice, labels))
    write_json(output.machine, describe_machine())
