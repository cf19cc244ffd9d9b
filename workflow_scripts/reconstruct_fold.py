"""Label the test sessions with every experiment of a fold, write the masks and count against the truth."""

from pathlib import Path

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    import numpy as np

    from lumbarseg.files import read_json, whole
    from lumbarseg.inference import SlicePass, label_sessions, load_committee, patches_to_start_with, session_files
    from lumbarseg.training.device import prepare_device

    params = snakemake.params
    settings = params.training
    prepare_device(snakemake.config["training"]["device"], snakemake.threads, settings)
    committee = load_committee(
        params.models, params.networks, snakemake.input.networks, snakemake.input.heads, len(params.classes)
    )
    thresholds = {}
    for path in snakemake.input.thresholds:
        content = read_json(path)
        values = [content["thresholds"][name] for name in params.classes]
        thresholds[content["model"]] = np.array(values, np.float32)
    folders = dict(zip(params.experiments, map(Path, snakemake.output.masks), strict=True))
    counts = label_sessions(
        SlicePass(committee, patches_to_start_with(settings["batch_size"])),
        committee,
        session_files(params.sessions, snakemake.input.patches, snakemake.input.masks),
        thresholds,
        params.labellings,
        params.background,
        int(snakemake.wildcards.fold),
        lambda experiment, session: folders[experiment] / f"{session.label}_dseg.nii.gz",
    )
    with whole(snakemake.output.counts) as temporary:
        counts.to_csv(temporary, index=False)
