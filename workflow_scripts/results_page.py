"""Put tables and figures on one page that opens in a browser from disk."""

from pathlib import Path

from lumbarseg.atomic_io import atomic_write, read_json
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.results_page import PageItem, results_page
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    cohort = read_csv(snakemake.input.cohort)
    patients, slices = cohort["participant_id"].nunique(), cohort["slices"].sum()
    settings = {"Cohort": f"{patients} patients with masks, {len(cohort)} sessions, {slices:,} slices"}
    page = results_page(
        params.study,
        [PageItem(**item, file=Path(file)) for item, file in zip(params.shown, snakemake.input.shown, strict=True)],
        ranking=read_csv(snakemake.input.ranking),
        worst_cases=read_csv(snakemake.input.worst_cases),
        networks=read_csv(snakemake.input.networks),
        settings=settings | params.settings | read_json(snakemake.input.machine),
        differences_from=params.differences_from,
    )
    with atomic_write(snakemake.output[0]) as temporary:
        temporary.write_text(page, encoding="utf-8")
