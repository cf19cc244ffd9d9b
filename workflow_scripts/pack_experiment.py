"""Pack an experiment into one file: the best by validation, or the one that is named."""

import tempfile
from pathlib import Path

from lumbarseg.joblog import job

with job(snakemake.log[0]) as logger:
    import nibabel as nib
    import numpy as np
    import pandas as pd

    from lumbarseg.bundle import HEAD, Bundle, network_entry, write_bundle
    from lumbarseg.files import copy_whole, read_json
    from lumbarseg.geometry import sagittal_spacing, sagittal_view
    from lumbarseg.model_card import model_card
    from lumbarseg.packing import choose, describe, validation_iou
    from lumbarseg.ranges import profile, ranges_of
    from lumbarseg.segmentation import Segmenter
    from lumbarseg.study import Model

    params, given = snakemake.params, snakemake.input
    settings = params.settings
    models = [Model(name, tuple(networks), combiner) for name, networks, combiner in params.models]
    tuned = {(one["model"], one["fold"]): one for one in map(read_json, given.thresholds)}
    targets = [tissue["name"] for tissue in settings["classes"] if tissue["id"] != settings["background"]]
    validation = validation_iou(tuned.values(), targets)
    experiment, fold = choose(validation, models, snakemake.wildcards.experiment, params.labellings)
    model = next(model for model in models if model.name == experiment.rpartition("+")[0])
    logger.info("%s of fold %d", experiment, fold)

    def of_fold(paths, name):
        """The one of these files that is a topology's or model's of the fold."""
        return next(Path(path) for path in paths if Path(path).parts[-3:-1] == (name, f"fold-{fold}"))

    def describe_images(number):
        """What a session of the training was like, in numbers."""
        labels, contrasts = params.sessions, settings["channels"]
        places = [number + len(labels) * place for place in range(len(contrasts))]
        images = [nib.load(given.images[place]) for place in places]
        views = [sagittal_view(image.get_fdata(dtype=np.float32), image.affine) for image in images]
        sidecars = {
            contrast: read_json(given.sidecars[place]) for contrast, place in zip(contrasts, places, strict=True)
        }
        return profile(np.stack(views, axis=-1), sagittal_spacing(images[0].affine), sidecars)

    subsets = {
        subset: [patient for patient, number, name in params.assignments if (number, name) == (fold, subset)]
        for subset in ("train", "validation", "test")
    }
    trained_on = [place for place, (patient, _) in enumerate(params.sessions) if patient in subsets["train"]]
    manifest = describe(
        config={**settings, "training": params.training, "topologies": params.topologies},
        experiment=experiment,
        fold=fold,
        model=model,
        tuned=tuned[model.name, fold],
        validation=validation,
        histories={name: pd.read_csv(of_fold(given.histories, name)) for name in model.networks},
        test=pd.read_csv(given.iou),
        subsets=subsets,
        ranges=ranges_of(map(describe_images, trained_on)),
    )
    files = {network_entry(name): of_fold(given.networks, name) for name in model.networks}
    files |= {HEAD: of_fold(given.heads, model.name)} if model.is_stacked else {}
    with tempfile.TemporaryDirectory(dir=Path(snakemake.output[0]).parent, prefix=".packing-") as scratch:
        made = Path(scratch, "bundle.zip")
        write_bundle(made, manifest, files, model_card(manifest))
        # Nothing that does not fit together is given out.
        Segmenter(Bundle(made))
        copy_whole(made, snakemake.output[0])
