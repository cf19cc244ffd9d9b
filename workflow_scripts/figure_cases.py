"""Draw best, median, worst and hand-picked test slices with the predictions of some experiments (Figure 7)."""

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import Case, case_comparison, restore_slices, save_figure
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    save_figure(case_comparison(restore_slices(snakemake.input.cases, Case), labels), *snakemake.output)
