"""Label the test sessions of a fold with every experiment, write the masks and count pixels against the truth."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.atomic_io import read_json, write_csv
    from lumbarseg.evaluation.labelling import thresholds_by_model
    from lumbarseg.inference.prediction import label_sessions
    from lumbarseg.inference.session_files import load_ensemble, session_files
    from lumbarseg.inference.sliding_window import SlidingWindowPredictor, initial_batch_size
    from lumbarseg.training.device import prepare_device

    files, output, params, fold = snakemake.input, snakemake.output, snakemake.params, int(snakemake.wildcards.fold)
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
    result = label_sessions(
        SlidingWindowPredictor(ensemble, initial_batch_size(params.training["batch_size"])),
        session_files(params.sessions, files.patches, files.masks),
        thresholds_by_model(map(read_json, files.thresholds), params.classes),
        dict(zip(params.experiments, map(Path, output.masks), strict=True)),
        labellings=params.labellings,
        background=params.background,
        unlabelled=params.unlabelled,
        fold=fold,
        uncertain_model=params.uncertain,
        uncertainty_folder=Path(output.uncertainty[0]) if output.uncertainty else None,
    )
    write_csv(output.counts, result.counts)
    write_csv(output.calibration, result.calibration)
