"""Segment a new session with a bundle."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    from lumbarseg.atomic_io import read_json
    from lumbarseg.deployment.bundle import Bundle
    from lumbarseg.deployment.input_checks import require_mr, require_one_patient
    from lumbarseg.deployment.segmenter import Segmenter, SessionImages, SessionOutputs, segment_session
    from lumbarseg.geometry import load_image
    from lumbarseg.imaging.series_selection import remarks_of
    from lumbarseg.training.device import prepare_device

    given, sources = snakemake.input, {name: Path(path) for name, path in snakemake.params.sources.items()}
    require_one_patient(sources)
    aligned, sidecars = (dict(zip(sources, map(Path, paths), strict=True)) for paths in (given.images, given.sidecars))
    for contrast, path in aligned.items():
        require_mr(load_image(path, "convert" if contrast == "T2w" else "register"), sources[contrast])
    training = snakemake.config["training"]
    prepare_device(training["device"], snakemake.threads, {"precision": "float32", "seed": 0, "xla": training["xla"]})
    record = segment_session(
        Segmenter(Bundle(given.bundle), snakemake.params.left_out),
        SessionImages(
            aligned,
            sidecars,
            Path(given.registration) if given.registration else None,
            remarks_of(read_json(given.series)),
        ),
        SessionOutputs(**{name: Path(path) for name, path in snakemake.output.items()}),
        lambda fraction: logger.info("%.0f %% done", 100 * fraction),
    )
    for flag in record["flags"]:
        logger.warning("sub-%s ses-%s: %s", snakemake.wildcards.participant, snakemake.wildcards.session, flag)
