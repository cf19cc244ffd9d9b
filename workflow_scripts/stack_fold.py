"""Train all meta-learners of a fold side by side on the outputs of its frozen networks."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    import pandas as pd

    from lumbarseg.atomic_io import atomic_copy, atomic_write, digest
    from lumbarseg.config.study import Model
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.models.build import optimiser
    from lumbarseg.models.ensemble import Ensemble, build_meta_learner, meta_learner_inputs
    from lumbarseg.models.metadata import load_network, network_metadata
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.lock import exclusive_lock
    from lumbarseg.training.loop import fit
    from lumbarseg.training.task import TrainingOptions, TrainTask

    params = snakemake.params
    settings, stacking = params.training, params.stacking
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, settings)
    fold = int(snakemake.wildcards.fold)
    # The networks of the fold, and with out-of-fold stacking those of the others, each for the patients it has not seen.
    ensembles = {
        number: Ensemble(
            {
                name: load_network(path, network_metadata(name, number, params.channels, params.classes))
                for name, path in zip(params.networks, paths, strict=True)
            },
            [],
            {},
        )
        for number, paths in params.network_files.items()
    }
    training = PatchSet(snakemake.input.training, params.seen_by)
    validation = PatchSet(snakemake.input.validation, [fold] * len(snakemake.input.validation))
    tasks = [
        TrainTask(
            meta_learner.name,
            build_meta_learner(
                meta_learner,
                side=training.side,
                classes=len(params.classes),
                base_filters=settings["base_filters"],
                channels=stacking["channels"],
                seed=settings["seed"],
            ),
            optimiser({key: stacking[key] for key in ("optimiser", "learning_rate")}),
            meta_learner_inputs(meta_learner),
            network_metadata(meta_learner.name, fold, params.channels, params.classes),
        )
        for meta_learner in (Model(name, tuple(members), combiner) for name, members, combiner in params.meta_learners)
    ]
    schedule = TrainingOptions.from_config(settings, stacking["epochs"], params.classes, params.background)
    state = Path(snakemake.output.history).parent / f"state_fold-{snakemake.wildcards.fold}"
    with exclusive_lock(state) as lock:
        results = fit(
            tasks,
            training,
            validation,
            schedule,
            state,
            identity={
                "networks": [digest(path) for path in snakemake.input.networks],
                **{
                    key: getattr(params, key)
                    for key in ("meta_learners", "stacking", "training", "classes", "background")
                },
            },
            forward=lambda images, group: ensembles[group].forward(images),
        )
        for task, target in zip(tasks, snakemake.output.meta_learners, strict=True):
            atomic_copy(results[task.name][0], target)
        histories = [history.assign(model=name) for name, (_, history) in results.items()]
        with atomic_write(snakemake.output.history) as temporary:
            pd.concat(histories).to_csv(temporary, index=False)
        lock.done()
