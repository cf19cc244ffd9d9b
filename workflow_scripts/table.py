"""Make the table of a declaration."""

from lumbarseg.reporting.registry import make
from lumbarseg.reporting.tables.writing import write_table
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params, output = snakemake.params, snakemake.output
    files = {name: snakemake.input[name] for name in params.needs}
    table = make(params.function, files, params.settings)
    write_table(
        table, params.caption, csv_path=output.csv, md_path=output.md, tex_path=output.tex, json_path=output.json
    )
