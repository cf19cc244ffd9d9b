"""List networks, ensembles and stacking models of this study (Tables 4 to 6)."""

import pandas as pd

from lumbarseg.joblog import job
from lumbarseg.tables import ensembles_table, stacking_table, topologies_table, write_table

with job(snakemake.log[0]):
    params = snakemake.params
    tables = {
        "table_4": topologies_table(params.topologies, pd.read_csv(snakemake.input.networks)),
        "table_5": ensembles_table(params.ensembles),
        "table_6": stacking_table(params.heads, params.stacking),
    }
    for name, table in tables.items():
        write_table(table, *snakemake.output[name])
