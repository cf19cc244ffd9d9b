"""List networks, ensembles and stacking models of this study (Tables 4 to 6)."""

import pandas as pd

from lumbarseg.config.schema import Stacking
from lumbarseg.reporting.tables.settings import ensembles_table, stacking_table, topologies_table
from lumbarseg.reporting.tables.writing import write_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    tables = {
        "table_4": topologies_table(params.topologies, pd.read_csv(snakemake.input.networks)),
        "table_5": ensembles_table(params.ensembles),
        "table_6": stacking_table(params.meta_learners, Stacking.model_validate(params.stacking)),
    }
    for name, table in tables.items():
        write_table(table, *snakemake.output[name])
