"""Tune the thresholds of every model of a fold on its validation slices."""

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.atomic_io import write_json
    from lumbarseg.evaluation.labelling import describe_tuning
    from lumbarseg.inference.prediction import score_histograms
    from lumbarseg.inference.session_files import load_ensemble, session_files
    from lumbarseg.inference.sliding_window import SlidingWindowPredictor, initial_batch_size
    from lumbarseg.training.device import prepare_device

    files, params, fold = snakemake.input, snakemake.params, int(snakemake.wildcards.fold)
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, params.training)
    ensemble = load_ensemble(
        params.models,
        params.networks,
        files.networks,
        files.meta_learners,
        fold=fold,
        channels=params.channels,
        class_names=params.classes,
    )
    predictor = SlidingWindowPredictor(ensemble, initial_batch_size(params.training["batch_size"]))
    histograms = score_histograms(
        predictor,
        session_files(params.sessions, files.patches, files.masks),
        background=params.background,
        unlabelled=params.unlabelled,
    )
    for path, (model, histogram) in zip(snakemake.output, histograms.items(), strict=True):
        write_json(path, describe_tuning(histogram, model=model, fold=fold, class_names=params.classes))
