"""Train one topology with one combination of hyper-parameters and keep only its history."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.network import train_network

    params = snakemake.params
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, params.training)
    train_network(
        params.name,
        params.topology,
        snakemake.input.training,
        snakemake.input.validation,
        settings=params.training,
        class_names=params.classes,
        background=params.background,
        unlabelled=params.unlabelled,
        start=Path(snakemake.input.start[0]) if snakemake.input.start else None,
        start_member=params.start_member,
        history_file=Path(snakemake.output[0]),
    )
