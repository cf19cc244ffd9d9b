"""Put tables and figures on one page that opens in a browser from disk."""

from pathlib import Path

import pandas as pd

from lumbarseg.files import whole
from lumbarseg.joblog import job
from lumbarseg.metrics import mean_iou, over_folds
from lumbarseg.results_page import results_page

with job(snakemake.log[0]):
    params = snakemake.params
    averages = over_folds(
        mean_iou(pd.read_csv(snakemake.input.iou), params.background), ["experiment"], "without_background"
    )
    page = results_page(
        params.study,
        averages,
        networks=pd.read_csv(snakemake.input.networks),
        tables=[Path(path) for path in snakemake.input.tables if path.endswith(".csv")],
        figures=[Path(path) for path in snakemake.input.figures if path.endswith(".png")],
        facts=params.facts,
    )
    with whole(snakemake.output[0]) as temporary:
        temporary.write_text(page, encoding="utf-8")
