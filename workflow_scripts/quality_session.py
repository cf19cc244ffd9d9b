"""Draw a session's slices with the contours of its mask, before and after registration."""

import nibabel as nib
import numpy as np

from lumbarseg.geometry import read_view, sagittal_view
from lumbarseg.imaging.registration.transforms import resample
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.quality import SessionImages, session_quality
from lumbarseg.reporting.figures.style import save_picture
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    t2w, spacing = read_view(snakemake.input.t2w)
    before = after = mask = None
    if snakemake.input.t1w:
        fixed, moving = nib.load(snakemake.input.t2w), nib.load(snakemake.input.t1w[0])
        before = sagittal_view(resample(fixed, moving, np.eye(4)), fixed.affine)
        after, _ = read_view(snakemake.input.t1w[1])
    if snakemake.input.mask:
        mask = read_view(snakemake.input.mask[0])[0].astype(np.uint8)
    images = SessionImages(t2w, before, after, mask, spacing)
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    save_picture(session_quality(images, labels), snakemake.output[0])
