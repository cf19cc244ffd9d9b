"""Pack an experiment into a bundle: the best by validation, or a named one."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    from lumbarseg.cohort.split import Assignment
    from lumbarseg.config.study import Model
    from lumbarseg.deployment.packing import StudyFiles, pack_experiment

    given, params = snakemake.input, snakemake.params
    lists = ("thresholds", "networks", "histories", "meta_learners", "images", "sidecars")
    experiment, fold = pack_experiment(
        Path(snakemake.output[0]),
        snakemake.wildcards.experiment,
        StudyFiles(**{name: [Path(path) for path in getattr(given, name)] for name in lists}, iou=Path(given.iou)),
        config={**params.settings, "training": params.training, "topologies": params.topologies},
        models=[Model(name, tuple(networks), combiner) for name, networks, combiner in params.models],
        labellings=params.labellings,
        patients=params.patients,
        assignments=[Assignment(*row) for row in params.assignments],
    )
    logger.info("packed %s of fold %d", experiment, fold)
