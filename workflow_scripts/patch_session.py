"""Cut a session's slices and mask into overlapping patches."""

from pathlib import Path

import numpy as np

from lumbarseg.data.dataset import write_patches
from lumbarseg.geometry import load_image, sagittal_spacing, sagittal_view
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    images = [load_image(path, "normalise") for path in snakemake.input.images]
    channels = np.stack([sagittal_view(image.get_fdata(dtype="float32"), image.affine) for image in images], axis=-1)
    mask = load_image(snakemake.input.mask, "convert")
    count = write_patches(
        channels,
        sagittal_view(np.asarray(mask.dataobj, dtype=np.uint8), mask.affine),
        side=snakemake.params.patches["patch_size"],
        stride=snakemake.params.patches["stride"],
        background=snakemake.params.background,
        description=Path(snakemake.output.description),
        images_path=Path(snakemake.output.images),
        labels_path=Path(snakemake.output.labels),
        pixel_size=float(np.mean(sagittal_spacing(mask.affine)[1:])),
    )
    logger.info("%d patches of %d slices", count, len(channels))
