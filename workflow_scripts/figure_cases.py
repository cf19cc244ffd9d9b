"""Draw best, median, worst and hand-picked test slices with the predictions of some experiments (Figure 7)."""

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.cases import Case, case_comparison
from lumbarseg.reporting.figures.stored import restore_slices
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    save_figure(case_comparison(restore_slices(snakemake.input.cases, Case), labels), *snakemake.output)
