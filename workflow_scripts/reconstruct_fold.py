"""Label the test sessions with every experiment of a fold, write the masks and count against the truth."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    import numpy as np

    from lumbarseg.atomic_io import atomic_write, read_json
    from lumbarseg.inference.prediction import label_sessions
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
    thresholds = {}
    for path in snakemake.input.thresholds:
        content = read_json(path)
        values = [content["thresholds"][name] for name in params.classes]
        thresholds[content["model"]] = np.array(values, np.float32)
    folders = dict(zip(params.experiments, map(Path, snakemake.output.masks), strict=True))
    uncertainty = Path(snakemake.output.uncertainty[0]) if snakemake.output.uncertainty else None
    found = label_sessions(
        SlidingWindowPredictor(ensemble, initial_batch_size(settings["batch_size"])),
        ensemble,
        session_files(params.sessions, snakemake.input.patches, snakemake.input.masks),
        thresholds,
        params.labellings,
        params.background,
        fold,
        lambda experiment, session: folders[experiment] / f"{session.label}_dseg.nii.gz",
        params.uncertain,
        lambda measure, session: uncertainty / f"{session.label}_desc-{measure}_uncertainty.nii.gz",
    )
    for path, frame in ((snakemake.output.counts, found.counts), (snakemake.output.calibration, found.calibration)):
        with atomic_write(path) as temporary:
            frame.to_csv(temporary, index=False)
