"""Count each topology's trainable parameters and multiply-accumulates, in total and by block."""

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.atomic_io import write_csv
    from lumbarseg.models.graph import describe_networks

    networks, blocks = describe_networks(snakemake.params.topologies, **snakemake.params.shape)
    write_csv(snakemake.output.networks, networks)
    write_csv(snakemake.output.blocks, blocks)
