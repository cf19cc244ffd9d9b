"""Make the tables beyond the paper's: other measures, the statistical comparison in numbers, and the ranking."""

import pandas as pd

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.tables.comparison import measures_table, ranking_table, wilcoxon_table
from lumbarseg.reporting.tables.writing import write_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    iou, ranking, tested = (pd.read_csv(snakemake.input[name]) for name in ("iou", "ranking", "wilcoxon"))
    tables = {"table_ranking": ranking_table(ranking)}
    for unit in ("slice", "patient"):
        tables[f"table_wilcoxon_{unit}"] = wilcoxon_table(tested, params.compared, labels, unit)
    if params.measured:
        tables["table_measures"] = measures_table(iou, pd.read_csv(snakemake.input.distances), params.measured, labels)
    for name, table in tables.items():
        write_table(table, *snakemake.output[name])
