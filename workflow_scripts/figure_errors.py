"""Draw the errors in the worst test slices of the experiments shown."""

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import Case, error_maps, restore_slices, save_figure
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    figures = zip(snakemake.output[::2], snakemake.output[1::2], strict=True)
    for slices, paths in zip(snakemake.input.worst, figures, strict=True):
        save_figure(error_maps(restore_slices(slices, Case), labels), *paths)
