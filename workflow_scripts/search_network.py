"""Train one topology with one combination of hyper-parameters and keep only its history."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.network import train_network
    from lumbarseg.training.phantoms import phantoms_of_study

    params = snakemake.params
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, params.training)
    phantoms = None
    if params.phantom_samples:
        phantoms = phantoms_of_study(
            list(map(Path, snakemake.input.phantoms)),
            PatchSet(snakemake.input.training),
            params.channels,
            params.phantom_samples,
            params.training["seed"],
        )
    train_network(
        params.name,
        params.topology,
        snakemake.input.training,
        snakemake.input.validation,
        settings=params.training,
        class_names=params.classes,
        background=params.background,
        unlabelled=params.unlabelled,
        phantoms=phantoms,
        start=Path(snakemake.input.start[0]) if snakemake.input.start else None,
        start_member=params.start_member,
        history_file=Path(snakemake.output[0]),
    )
