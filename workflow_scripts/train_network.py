"""Train one topology in one fold and keep its best epoch."""

from pathlib import Path

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.files import copy_whole, whole
    from lumbarseg.lease import sole_writer
    from lumbarseg.networks.passport import passport
    from lumbarseg.patchset import PatchSet
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.network import train_network

    params = snakemake.params
    # Where it runs and how it is watched change nothing of the result, so they are no parameters of the rule.
    running = snakemake.config["training"]
    prepare_device(running["device"], snakemake.threads, params.training)
    state = Path(snakemake.output.network).parent / "state"
    with sole_writer(state) as lease:
        best, history = train_network(
            snakemake.wildcards.topology,
            params.topology,
            PatchSet(snakemake.input.training),
            PatchSet(snakemake.input.validation),
            settings=params.training,
            class_names=params.classes,
            background=params.background,
            state_folder=state,
            passport=passport(
                snakemake.wildcards.topology, int(snakemake.wildcards.fold), params.channels, params.classes
            ),
            events=Path(snakemake.params.events) if running["tensorboard"] else None,
        )
        copy_whole(best, snakemake.output.network)
        with whole(snakemake.output.history) as temporary:
            history.to_csv(temporary, index=False)
        lease.done()
