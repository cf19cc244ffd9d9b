"""The paper's tables and ours, as data frames and as CSV, Markdown and LaTeX files."""

from lumbarseg.tables.cohort import acquisition_table, cohort_table, dataset_table
from lumbarseg.tables.comparison import measures_table, ranking_table, wilcoxon_table
from lumbarseg.tables.iou import iou_table, published_companion
from lumbarseg.tables.settings import ensembles_table, stacking_table, topologies_table
from lumbarseg.tables.writing import Cell, Cells, Table, read_markdown, write_table

__all__ = [
    "Cell",
    "Cells",
    "Table",
    "acquisition_table",
    "cohort_table",
    "dataset_table",
    "ensembles_table",
    "iou_table",
    "measures_table",
    "published_companion",
    "ranking_table",
    "read_markdown",
    "stacking_table",
    "topologies_table",
    "wilcoxon_table",
    "write_table",
]
