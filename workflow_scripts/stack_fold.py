"""Train all stacking heads of a fold side by side on the outputs of its frozen networks."""

from pathlib import Path

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    import pandas as pd

    from lumbarseg.committee import Committee, build_head, head_inputs
    from lumbarseg.files import copy_whole, digest, whole
    from lumbarseg.lease import sole_writer
    from lumbarseg.networks.build import optimiser
    from lumbarseg.networks.passport import load_network, passport
    from lumbarseg.patchset import PatchSet
    from lumbarseg.study import Model
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.learner import Learner, Schedule
    from lumbarseg.training.loop import fit

    params = snakemake.params
    settings, stacking = params.training, params.stacking
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, settings)
    fold = int(snakemake.wildcards.fold)
    # The networks of the fold, and with out-of-fold stacking those of the others, each for the patients it has not seen.
    committees = {
        number: Committee(
            {
                name: load_network(path, passport(name, number, params.channels, params.classes))
                for name, path in zip(params.networks, paths, strict=True)
            },
            [],
            {},
        )
        for number, paths in params.network_files.items()
    }
    training = PatchSet(snakemake.input.training, params.seen_by)
    validation = PatchSet(snakemake.input.validation, [fold] * len(snakemake.input.validation))
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
            passport(head.name, fold, params.channels, params.classes),
        )
        for head in (Model(name, tuple(members), combiner) for name, members, combiner in params.heads)
    ]
    schedule = Schedule.of_config(settings, stacking["epochs"], params.classes, params.background)
    state = Path(snakemake.output.history).parent / f"state_fold-{snakemake.wildcards.fold}"
    with sole_writer(state) as lease:
        results = fit(
            learners,
            training,
            validation,
            schedule,
            state,
            identity={
                "networks": [digest(path) for path in snakemake.input.networks],
                **{key: getattr(params, key) for key in ("heads", "stacking", "training", "classes", "background")},
            },
            see=lambda images, group: committees[group].see(images),
        )
        for learner, target in zip(learners, snakemake.output.heads, strict=True):
            copy_whole(results[learner.name][0], target)
        histories = [history.assign(model=name) for name, (_, history) in results.items()]
        with whole(snakemake.output.history) as temporary:
            pd.concat(histories).to_csv(temporary, index=False)
        lease.done()
