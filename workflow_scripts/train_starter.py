"""Train a starter network on phantoms and keep its best epoch."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.models.metadata import network_metadata
    from lumbarseg.synthesis.tissue_slices import stems
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.starter import train_starter

    given, params, contrasts = snakemake.input, snakemake.params, snakemake.wildcards.contrasts.split("_")
    settings = params.settings
    precision = {"precision": "float32", "seed": settings["seed"], "xla": False}
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, precision)
    train_starter(
        params.topology,
        stems(given.phantoms),
        stems(given.held_out),
        contrasts=contrasts,
        settings=settings,
        epochs=params.epochs,
        class_names=params.classes,
        background=params.background,
        history_file=Path(snakemake.output.history),
        network_file=Path(snakemake.output.network),
        metadata=network_metadata(settings["topology"], 1, contrasts, params.classes),
        start=Path(given.start[0]) if given.start else None,
        threads=snakemake.threads,
    )
