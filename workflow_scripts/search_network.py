"""Train one topology with one combination of hyper-parameters and keep only its history."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.network import train_network
    from lumbarseg.training.phantoms import phantoms_of_study

    params = snakemake.params
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, params.training)
    given = snakemake.input
    phantoms = phantoms_of_study(
        given.phantoms, given.training, params.channels, params.phantom_samples, params.training["seed"]
    )
    train_network(
        params.name,
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
        history_file=Path(snakemake.output[0]),
    )
