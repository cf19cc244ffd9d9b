"""Put the trials of the hyper-parameter search into a table and a figure."""

import pandas as pd

from lumbarseg.atomic_io import atomic_write
from lumbarseg.reporting.figures.search import search_results
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.reporting.tables.writing import Table, write_table
from lumbarseg.training.options import MONITOR_COLUMNS
from lumbarseg.training.search import combinations, search_table, trial_rows
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params = snakemake.params
    histories = [pd.read_csv(path) for path in snakemake.input.histories]
    criterion = MONITOR_COLUMNS[params.monitor]
    trials = trial_rows(params.trials, histories, params.epochs, criterion)
    with atomic_write(snakemake.output.trials) as temporary:
        trials.to_csv(temporary, index=False)
    ranked = combinations(trials, params.present, criterion)
    table, footnotes = search_table(ranked)
    caption = (
        "Hyper-parameter search: validation accuracy and mean IoU of validation patches at the best epoch, per cent."
    )
    write_table(Table(table, caption, footnotes=footnotes, decimals=2, best_bold=False), *snakemake.output.table)
    save_figure(search_results(ranked, criterion), *snakemake.output.figure)
    for row in ranked[ranked["best"]].itertuples():
        logger.info("%s: best with %s, %g, %s", row.topology, row.optimiser, row.learning_rate, row.activation)
