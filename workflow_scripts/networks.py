"""Count each topology's trainable parameters and multiply-accumulates."""

from lumbarseg.joblog import job

with job(snakemake.log[0]) as logger:
    import keras
    import pandas as pd

    from lumbarseg.files import whole
    from lumbarseg.networks.build import build_network, count_parameters, multiply_accumulates

    rows = []
    for name, topology in snakemake.params.topologies.items():
        network = build_network(topology, **snakemake.params.shape, seed=0, name=name)
        rows.append((name, count_parameters(network), multiply_accumulates(network)))
        logger.info("%s: %d trainable parameters, %d multiply-accumulates a patch", *rows[-1])
        keras.backend.clear_session()
    frame = pd.DataFrame(rows, columns=["topology", "trainable_parameters", "multiply_accumulates"])
    with whole(snakemake.output[0]) as temporary:
        frame.to_csv(temporary, index=False)
