"""Tune the thresholds of every model of a fold on its validation slices."""

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    import numpy as np

    from lumbarseg.atomic_io import write_json
    from lumbarseg.evaluation.labelling import THRESHOLDS, threshold_curves, tune_thresholds
    from lumbarseg.inference.prediction import score_histograms
    from lumbarseg.inference.session_files import load_ensemble, session_files
    from lumbarseg.inference.sliding_window import SlidingWindowPredictor, initial_batch_size
    from lumbarseg.training.device import prepare_device

    params = snakemake.params
    settings = params.training
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, settings)
    fold = int(snakemake.wildcards.fold)
    ensemble = load_ensemble(
        params.models,
        params.networks,
        snakemake.input.networks,
        snakemake.input.meta_learners,
        fold=fold,
        channels=params.channels,
        class_names=params.classes,
    )
    sessions = session_files(params.sessions, snakemake.input.patches, snakemake.input.masks)
    histograms = score_histograms(
        SlidingWindowPredictor(ensemble, initial_batch_size(settings["batch_size"])), ensemble, sessions
    )
    for path, (name, histogram) in zip(snakemake.output, histograms.items(), strict=True):
        curves = threshold_curves(histogram)
        content = {
            "model": name,
            "fold": fold,
            "thresholds": dict(
                zip(params.classes, [round(float(t), 2) for t in tune_thresholds(histogram)], strict=True)
            ),
            "values": [round(float(value), 2) for value in THRESHOLDS],
            # A class that is in no validation slice has no IoU; JSON knows no NaN.
            "iou": {
                name: [None if np.isnan(v) else v for v in curve]
                for name, curve in zip(params.classes, curves, strict=True)
            },
        }
        write_json(path, content)
