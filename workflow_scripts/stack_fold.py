"""Train all meta-learners of a fold side by side on the outputs of its frozen networks."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.config.study import Model
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.stacking import train_meta_learners

    params = snakemake.params
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, params.training)
    train_meta_learners(
        [Model(name, tuple(members), combiner) for name, members, combiner in params.meta_learners],
        {fold: dict(zip(params.networks, files, strict=True)) for fold, files in params.network_files.items()},
        snakemake.input.training,
        snakemake.input.validation,
        fold=int(snakemake.wildcards.fold),
        networks_of_training=params.seen_by,
        settings=params.training,
        stacking=params.stacking,
        channels=params.channels,
        class_names=params.classes,
        background=params.background,
        unlabelled=params.unlabelled,
        meta_learner_files=[Path(path) for path in snakemake.output.meta_learners],
        history_file=Path(snakemake.output.history),
    )
