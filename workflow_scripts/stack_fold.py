"""Train all stacking heads of a fold side by side on the outputs of its frozen networks."""

import shutil
from pathlib import Path

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    import keras
    import pandas as pd

    from lumbarseg.committee import Committee, build_head, head_inputs
    from lumbarseg.files import copy_whole, whole
    from lumbarseg.networks.build import optimiser
    from lumbarseg.patchset import PatchSet
    from lumbarseg.study import Model
    from lumbarseg.training import Learner, Schedule, fit, prepare_device

    params = snakemake.params
    settings, stacking = params.training, params.stacking
    prepare_device(settings["device"], snakemake.threads, settings["precision"], settings["seed"])
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
        identity={key: getattr(params, key) for key in ("heads", "stacking", "training", "classes", "background")},
        see=Committee(networks, [], {}).see,
    )
    for learner, target in zip(learners, snakemake.output.heads, strict=True):
        copy_whole(results[learner.name][0], target)
    histories = [history.assign(model=name) for name, (_, history) in results.items()]
    with whole(snakemake.output.history) as temporary:
        pd.concat(histories).to_csv(temporary, index=False)
    shutil.rmtree(state)
