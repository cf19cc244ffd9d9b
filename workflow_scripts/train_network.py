"""Train one topology in one fold and keep its best epoch."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.models.metadata import network_metadata
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.network import train_network
    from lumbarseg.training.phantoms import phantoms_of_study

    params = snakemake.params
    # Device and TensorBoard do not change the result, so they are not parameters of the rule.
    running = snakemake.config["training"]
    prepare_device(running["device"], snakemake.threads, params.training)
    given = snakemake.input
    phantoms = phantoms_of_study(
        given.phantoms, given.training, params.channels, params.phantom_samples, params.training["seed"]
    )
    train_network(
        snakemake.wildcards.topology,
        params.topology,
        given.training,
        given.validation,
        settings=params.training,
        class_names=params.classes,
        background=params.background,
        unlabelled=params.unlabelled,
        phantoms=phantoms,
        start=Path(given.start[0]) if given.start else None,
        start_member=params.start_member,
        history_file=Path(snakemake.output.history),
        network_file=Path(snakemake.output.network),
        metadata=network_metadata(
            snakemake.wildcards.topology, int(snakemake.wildcards.fold), params.channels, params.classes
        ),
        events=Path(params.events) if running["tensorboard"] else None,
    )
