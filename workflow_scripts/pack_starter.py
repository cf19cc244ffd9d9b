"""Pack a starter network into a bundle, tested on phantoms that it has not seen."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.data.csv_tables import read_csv
    from lumbarseg.deployment.starter_packing import pack_starter
    from lumbarseg.models.metadata import network_metadata
    from lumbarseg.synthesis.tissue_slices import stems
    from lumbarseg.training.device import prepare_device

    given, params, contrasts = snakemake.input, snakemake.params, snakemake.wildcards.contrasts.split("_")
    starter, names = params.starter, [tissue["name"] for tissue in params.classes]
    prepare_device("cpu", snakemake.threads, {"precision": "float32", "seed": starter["seed"], "xla": False})
    pack_starter(
        Path(snakemake.output[0]),
        Path(given.network),
        read_csv(given.history),
        stems(given.phantoms),
        topology=params.topology,
        config={
            "starter": starter,
            "classes": params.classes,
            "background": params.background,
            "registration": params.registration,
        },
        contrasts=contrasts,
        metadata=network_metadata(starter["topology"], 1, contrasts, names),
    )
