"""Train one topology in one fold and keep its best epoch."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.network import train_network

    params, output = snakemake.params, snakemake.output
    # Device and TensorBoard change no result, so they are no parameters of the rule.
    running = snakemake.config["training"]
    prepare_device(running["device"], snakemake.threads, params.training)
    train_network(
        snakemake.wildcards.topology,
        params.topology,
        snakemake.input.training,
        snakemake.input.validation,
        fold=int(snakemake.wildcards.fold),
        settings=params.training,
        channels=params.channels,
        class_names=params.classes,
        background=params.background,
        network_file=Path(output.network),
        history_file=Path(output.history),
        events=Path(params.events) if running["tensorboard"] else None,
    )
