"""Pack an experiment into one file: the best by validation, or the one that is named."""

import tempfile
from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    import pandas as pd

    from lumbarseg.atomic_io import atomic_copy, read_json
    from lumbarseg.config.study import Model
    from lumbarseg.deployment.bundle import META_LEARNER, Bundle, network_entry, write_bundle
    from lumbarseg.deployment.domain_check import profile_of_files, ranges_of
    from lumbarseg.deployment.manifest import build_manifest
    from lumbarseg.deployment.model_card import model_card
    from lumbarseg.deployment.segmenter import Segmenter
    from lumbarseg.evaluation.model_selection import select_model, validation_iou

    params, given = snakemake.params, snakemake.input
    settings = params.settings
    models = {name: Model(name, tuple(networks), combiner) for name, networks, combiner in params.models}
    tuned = {(one["model"], one["fold"]): one for one in map(read_json, given.thresholds)}
    targets = [tissue["name"] for tissue in settings["classes"] if tissue["id"] != settings["background"]]
    validation = validation_iou(tuned.values(), targets)
    experiment, fold = select_model(
        validation, list(models.values()), snakemake.wildcards.experiment, params.labellings
    )
    model = models[experiment.rpartition("+")[0]]
    logger.info("%s of fold %d", experiment, fold)

    def of_fold(paths, name):
        """The one of these files that is a topology's or model's of the fold."""
        return next(Path(path) for path in paths if Path(path).parts[-3:-1] == (name, f"fold-{fold}"))

    def of_session(paths, place):
        """A session's files by contrast, of paths that stand contrast by contrast."""
        return dict(zip(settings["channels"], map(Path, paths[place :: len(params.patients)]), strict=True))

    subsets = {
        subset: [patient for patient, number, name in params.assignments if (number, name) == (fold, subset)]
        for subset in ("train", "validation", "test")
    }
    trained_on = [place for place, patient in enumerate(params.patients) if patient in subsets["train"]]
    profiles = [
        profile_of_files(of_session(given.images, place), of_session(given.sidecars, place)) for place in trained_on
    ]
    manifest = build_manifest(
        config={**settings, "training": params.training, "topologies": params.topologies},
        experiment=experiment,
        fold=fold,
        model=model,
        tuned=tuned[model.name, fold],
        validation=validation,
        histories={name: pd.read_csv(of_fold(given.histories, name)) for name in model.networks},
        test=pd.read_csv(given.iou),
        subsets=subsets,
        ranges=ranges_of(profiles),
    )
    files = {network_entry(name): of_fold(given.networks, name) for name in model.networks}
    files |= {META_LEARNER: of_fold(given.meta_learners, model.name)} if model.is_stacked else {}
    with tempfile.TemporaryDirectory(dir=Path(snakemake.output[0]).parent, prefix=".packing-") as scratch:
        made = Path(scratch, "bundle.zip")
        write_bundle(made, manifest, files, model_card(manifest))
        # Nothing that does not fit together is given out.
        Segmenter(Bundle(made))
        atomic_copy(made, snakemake.output[0])
