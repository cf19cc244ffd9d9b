"""Train one topology with one combination of hyper-parameters, and keep its history alone."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    from lumbarseg.atomic_io import atomic_write
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.lock import exclusive_lock
    from lumbarseg.training.loop import DivergedError
    from lumbarseg.training.network import train_network

    params = snakemake.params
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, params.training)
    state = Path(snakemake.output[0]).parent / "state"
    with exclusive_lock(state) as lock:
        try:
            _, history = train_network(
                params.name,
                params.topology,
                PatchSet(snakemake.input.training),
                PatchSet(snakemake.input.validation),
                settings=params.training,
                class_names=params.classes,
                background=params.background,
                state_folder=state,
            )
        except DivergedError as error:
            # That a learning rate is too high is what a search is there to find out.
            logger.info("%s", error)
            history = error.histories[params.name]
        with atomic_write(snakemake.output[0]) as temporary:
            (history if len(history) else history.assign(epoch=[])).to_csv(temporary, index=False)
        lock.done()
