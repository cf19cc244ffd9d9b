"""Train one topology in one fold and keep its best epoch."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.atomic_io import atomic_copy, atomic_write
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.models.metadata import network_metadata
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.lock import exclusive_lock
    from lumbarseg.training.network import train_network

    params = snakemake.params
    # Where it runs and how it is watched change nothing of the result, so they are no parameters of the rule.
    running = snakemake.config["training"]
    prepare_device(running["device"], snakemake.threads, params.training)
    state = Path(snakemake.output.network).parent / "state"
    with exclusive_lock(state) as lock:
        best, history = train_network(
            snakemake.wildcards.topology,
            params.topology,
            PatchSet(snakemake.input.training),
            PatchSet(snakemake.input.validation),
            settings=params.training,
            class_names=params.classes,
            background=params.background,
            state_folder=state,
            metadata=network_metadata(
                snakemake.wildcards.topology, int(snakemake.wildcards.fold), params.channels, params.classes
            ),
            events=Path(snakemake.params.events) if running["tensorboard"] else None,
        )
        atomic_copy(best, snakemake.output.network)
        with atomic_write(snakemake.output.history) as temporary:
            history.to_csv(temporary, index=False)
        lock.done()
