"""Tune the thresholds of every model of a fold on its validation slices."""

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    import numpy as np

    from lumbarseg.files import write_json
    from lumbarseg.inference import SlicePass, load_committee, patches_to_start_with, score_histograms, session_files
    from lumbarseg.labelling import THRESHOLDS, threshold_curves, tune_thresholds
    from lumbarseg.training.device import prepare_device

    params = snakemake.params
    settings = params.training
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, settings)
    fold = int(snakemake.wildcards.fold)
    committee = load_committee(
        params.models,
        params.networks,
        snakemake.input.networks,
        snakemake.input.heads,
        fold=fold,
        channels=params.channels,
        class_names=params.classes,
    )
    sessions = session_files(params.sessions, snakemake.input.patches, snakemake.input.masks)
    histograms = score_histograms(
        SlicePass(committee, patches_to_start_with(settings["batch_size"])), committee, sessions
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
