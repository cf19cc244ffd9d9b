"""Count each topology's trainable parameters and multiply-accumulates, as a whole and by block."""

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    import keras
    import pandas as pd

    from lumbarseg.atomic_io import atomic_write
    from lumbarseg.models.build import build_network, count_parameters, multiply_accumulates
    from lumbarseg.models.graph import block_graph

    rows, blocks = [], []
    for name, topology in snakemake.params.topologies.items():
        network = build_network(topology, **snakemake.params.shape, seed=0, name=name)
        rows.append((name, count_parameters(network), multiply_accumulates(network)))
        blocks.append(block_graph(network).assign(topology=name))
        logger.info("%s: %d trainable parameters, %d multiply-accumulates a patch", *rows[-1])
        keras.backend.clear_session()
    frame = pd.DataFrame(rows, columns=["topology", "trainable_parameters", "multiply_accumulates"])
    with atomic_write(snakemake.output.networks) as temporary:
        frame.to_csv(temporary, index=False)
    together = pd.concat(blocks, ignore_index=True)
    with atomic_write(snakemake.output.blocks) as temporary:
        together[["topology", *together.columns.drop("topology")]].to_csv(temporary, index=False)
