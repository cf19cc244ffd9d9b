"""Put the counts of all folds together: IoU per slice, patient and fold, the statistical comparison, and the ranking."""

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.evaluation.metrics import fold_iou, patient_iou, read_rows, slice_iou, worst_cases
from lumbarseg.evaluation.ranking import rank_experiments
from lumbarseg.evaluation.statistics import wilcoxon
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.environment import describe_machine
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params = snakemake.params
    labels, comparison = LabelTable(params.classes, params.background), params.comparison
    drawing = (comparison["resamples"], comparison["seed"])
    counts = read_rows(snakemake.input.counts)
    per_slice, per_patient = slice_iou(counts), patient_iou(counts, labels)
    frames = {
        "iou": lambda: fold_iou(counts, labels),
        "per_slice": lambda: per_slice,
        "per_patient": lambda: per_patient,
        "wilcoxon": lambda: wilcoxon(per_slice, comparison["reference"], *drawing),
        "ranking": lambda: rank_experiments(per_patient, labels.background, *drawing),
        "worst_cases": lambda: worst_cases(per_slice, labels),
    }
    for name, frame in frames.items():
        with atomic_write(snakemake.output.get(name)) as temporary:
            frame().to_csv(temporary, index=False)
        logger.info("%s written", name)
    write_json(snakemake.output.machine, describe_machine())
