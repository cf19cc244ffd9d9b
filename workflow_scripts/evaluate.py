"""Put the counts of all folds together: IoU per slice, patient and fold, the statistical comparison, and the ranking."""

from lumbarseg.anatomy import LabelTable
from lumbarseg.files import whole, write_json
from lumbarseg.joblog import job
from lumbarseg.machine import describe_machine
from lumbarseg.metrics import fold_iou, patient_iou, read_rows, slice_iou, worst_cases
from lumbarseg.ranking import rank_experiments
from lumbarseg.statistics import wilcoxon

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
        with whole(snakemake.output.get(name)) as temporary:
            frame().to_csv(temporary, index=False)
        logger.info("%s written", name)
    write_json(snakemake.output.machine, describe_machine())
