"""Collect the trials of the hyper-parameter search, and rank the combinations of each topology."""

from lumbarseg.atomic_io import write_csv
from lumbarseg.config.history import MONITOR_COLUMNS
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.training.search import combinations, trial_rows
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    params = snakemake.params
    histories = [read_csv(path) for path in snakemake.input.histories]
    criterion = MONITOR_COLUMNS[params.monitor]
    trials = trial_rows(params.trials, histories, params.epochs, criterion)
    ranked = combinations(trials, params.present, criterion)
    for path, frame in ((snakemake.output.trials, trials), (snakemake.output.combinations, ranked)):
        write_csv(path, frame)
    for row in ranked[ranked["best"]].itertuples():
        logger.info("%s: best with %s, %g, %s", row.topology, row.optimiser, row.learning_rate, row.activation)
