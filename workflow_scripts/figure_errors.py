"""Draw the errors in the worst test slices of the experiments shown."""

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.cases import Case
from lumbarseg.reporting.figures.errors import error_maps
from lumbarseg.reporting.figures.stored import restore_slices
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    figures = zip(snakemake.output[::2], snakemake.output[1::2], strict=True)
    for slices, paths in zip(snakemake.input.worst, figures, strict=True):
        save_figure(error_maps(restore_slices(slices, Case), labels), *paths)
