"""Train one topology in one fold and keep its best epoch."""

import shutil
from pathlib import Path

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.files import copy_whole, whole
    from lumbarseg.networks.build import build_network, optimiser
    from lumbarseg.patchset import PatchSet
    from lumbarseg.training import Learner, Schedule, fit, prepare_device

    params = snakemake.params
    settings = params.training
    prepare_device(settings["device"], snakemake.threads, settings["precision"], settings["seed"])
    name = snakemake.wildcards.topology
    network = build_network(
        params.topology,
        side=params.side,
        channels=len(params.channels),
        classes=len(params.classes),
        width=settings["width"],
        seed=settings["seed"],
        name=name,
    )
    schedule = Schedule.of_config(settings, settings["epochs"], params.classes, params.background)
    folder = Path(snakemake.output.network).parent
    results = fit(
        [Learner(name, network, optimiser(params.topology))],
        PatchSet(snakemake.input.training),
        PatchSet(snakemake.input.validation),
        schedule,
        folder / "state",
        identity={key: getattr(params, key) for key in ("topology", "training", "classes", "background")},
    )
    best, history = results[name]
    copy_whole(best, snakemake.output.network)
    with whole(snakemake.output.history) as temporary:
        history.to_csv(temporary, index=False)
    shutil.rmtree(folder / "state")
