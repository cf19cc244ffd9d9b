"""Draw each network's blocks and the tensors between them."""

import pandas as pd

from lumbarseg.reporting.figures.networks import network_diagram
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    blocks = pd.read_csv(snakemake.input.blocks, keep_default_na=False)
    for topology, paths in zip(
        snakemake.params.topologies, zip(*[iter(snakemake.output)] * 2, strict=True), strict=True
    ):
        save_figure(network_diagram(blocks[blocks["topology"] == topology]), *paths)
