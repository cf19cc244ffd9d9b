"""Draw labelled slices (Figure 2) and the steps from images to patches (Figure 3) of one session."""

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.slices import LabelledSlice, Preprocessing, labelled_slices, preprocessing_steps
from lumbarseg.reporting.figures.stored import restore_slices
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    save_figure(
        labelled_slices(restore_slices(snakemake.input.labelled, LabelledSlice), labels), *snakemake.output.fig_2
    )
    (steps,) = restore_slices(snakemake.input.steps, Preprocessing)
    save_figure(preprocessing_steps(steps, labels), *snakemake.output.fig_3)
