"""Train all stacking heads of a fold side by side on the outputs of its frozen networks."""

import shutil
from pathlib import Path

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    import keras
    import pandas as pd

    from lumbarseg.committee import Committee, build_head, head_inputs
    from lumbarseg.files import copy_whole, digest, whole
    from lumbarseg.networks.build import optimiser
    from lumbarseg.patchset import PatchSet
    from lumbarseg.study import Model
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.learner import Learner, Schedule
    from lumbarseg.training.loop import fit

    params = snakemake.params
    settings, stacking = params.training, params.stacking
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, settings)
    networks = {
        name: keras.models.load_model(path, compile=False)
        for name, path in zip(params.networks, snakemake.input.networks, strict=True)
    }
    training = PatchSet(snakemake.input.training)
    learners = [
        Learner(
            head.name,
            build_head(
                head,
                side=training.side,
                classes=len(params.classes),
                width=settings["width"],
                channels=stacking["channels"],
                seed=settings["seed"],
            ),
            optimiser({key: stacking[key] for key in ("optimiser", "learning_rate")}),
            head_inputs(head),
        )
        for head in (Model(name, tuple(members), combiner) for name, members, combiner in params.heads)
    ]
    schedule = Schedule.of_config(settings, stacking["epochs"], params.classes, params.background)
    state = Path(snakemake.output.history).parent / f"state_fold-{snakemake.wildcards.fold}"
    results = fit(
        learners,
        training,
        PatchSet(snakemake.input.validation),
        schedule,
        state,
        identity={
            "networks": [digest(path) for path in snakemake.input.networks],
            **{key: getattr(params, key) for key in ("heads", "stacking", "training", "classes", "background")},
        },
        see=Committee(networks, [], {}).see,
    )
    for learner, target in zip(learners, snakemake.output.heads, strict=True):
        copy_whole(results[learner.name][0], target)
    histories = [history.assign(model=name) for name, (_, history) in results.items()]
    with whole(snakemake.output.history) as temporary:
        pd.concat(histories).to_csv(temporary, index=False)
    shutil.rmtree(state)
