"""Draw each network's blocks and the tensors between them."""

import pandas as pd

from lumbarseg.figures import network_diagram, save_figure
from lumbarseg.joblog import job

with job(snakemake.log[0]):
    blocks = pd.read_csv(snakemake.input.blocks, keep_default_na=False)
    for topology, paths in zip(
        snakemake.params.topologies, zip(*[iter(snakemake.output)] * 2, strict=True), strict=True
    ):
        save_figure(network_diagram(blocks[blocks["topology"] == topology]), *paths)
