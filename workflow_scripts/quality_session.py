"""Draw a session's slices with the contours of its mask, before and after registration."""

import nibabel as nib
import numpy as np

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import SessionImages, save_picture, session_quality
from lumbarseg.geometry import read_view, sagittal_view
from lumbarseg.joblog import job
from lumbarseg.registration import resample

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
