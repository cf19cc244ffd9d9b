"""Label a session without a mask with a bundle, ready to be corrected in ITK-SNAP."""

from pathlib import Path

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    from lumbarseg.atomic_io import read_json
    from lumbarseg.deployment.bundle import Bundle
    from lumbarseg.deployment.drafts import DraftFiles, write_draft
    from lumbarseg.deployment.input_checks import require_mr, require_one_patient
    from lumbarseg.deployment.segmenter import Segmenter, SessionImages
    from lumbarseg.geometry import load_image
    from lumbarseg.imaging.series_selection import remarks_of
    from lumbarseg.itksnap import read_descriptions, with_described_values
    from lumbarseg.labels import LabelTable
    from lumbarseg.training.device import prepare_device

    given, made = snakemake.input, snakemake.output
    sources = {name: Path(path) for name, path in snakemake.params.sources.items()}
    require_one_patient(sources)
    aligned, sidecars, copies = (
        dict(zip(sources, map(Path, paths), strict=True)) for paths in (given.images, given.sidecars, made.images)
    )
    for contrast, path in aligned.items():
        require_mr(load_image(path, "convert" if contrast == "T2w" else "register"), sources[contrast])
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    for path in given.get("descriptions", []):
        labels = with_described_values(labels, read_descriptions(path), path)
    training = snakemake.config["training"]
    prepare_device(training["device"], snakemake.threads, {"precision": "float32", "seed": 0, "xla": training["xla"]})
    single = {name: Path(made[name]) for name in ("draft", "entropy", "descriptions", "command", "record")}
    folder = single["draft"].parent
    record, is_offered = write_draft(
        Segmenter(Bundle(given.bundle), snakemake.params.left_out),
        SessionImages(
            aligned,
            sidecars,
            Path(given.registration) if given.registration else None,
            remarks_of(read_json(given.series)),
        ),
        DraftFiles(
            **single,
            images=copies,
            labels=folder / "labels.nii.gz",
            checksum=folder / "labels.sha256",
            labels_draft=folder / "labels_draft.nii.gz",
            labels_record=folder / "labels_draft.json",
        ),
        labels,
        lambda fraction: logger.info("%.0f %% done", 100 * fraction),
    )
    name = f"sub-{snakemake.wildcards.participant} ses-{snakemake.wildcards.session}"
    for flag in record["flags"]:
        logger.warning("%s: %s", name, flag)
    if not is_offered:
        logger.warning(
            "%s: %s was changed by hand and is kept; it corrects an earlier draft", name, folder / "labels.nii.gz"
        )
