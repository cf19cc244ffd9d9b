"""Normalise each channel of a session to z-scores."""

import nibabel as nib

from lumbarseg.atomic_io import atomic_write
from lumbarseg.geometry import codes_of, from_sagittal_view, load_image, sagittal_view, volume
from lumbarseg.imaging.normalisation import zscore
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    # The first channel is T2w; another one was registered to it.
    stages = ["convert", *["register"] * (len(snakemake.input.images) - 1)]
    for source, target, stage in zip(snakemake.input.images, snakemake.output.images, stages, strict=True):
        image = load_image(source, stage)
        view = sagittal_view(image.get_fdata(dtype="float32"), image.affine)
        scores = from_sagittal_view(zscore(view, snakemake.params.scope), image.affine)
        with atomic_write(target) as temporary:
            nib.save(volume(scores, image.affine, codes_of(image)), temporary)
