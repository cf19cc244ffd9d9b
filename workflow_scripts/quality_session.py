"""Draw a session's slices with the contours of its mask, before and after registration."""

import nibabel as nib
import numpy as np

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures import SessionImages, save_picture, session_quality
from lumbarseg.geometry import sagittal_spacing, sagittal_view
from lumbarseg.joblog import job
from lumbarseg.registration import resample

with job(snakemake.log[0]):
    t2w = nib.load(snakemake.input.t2w)

    def view(voxels):
        """Voxels of the T2w grid in sagittal view."""
        return sagittal_view(np.asarray(voxels), t2w.affine)

    before = after = mask = None
    if snakemake.input.t1w:
        moving, registered = map(nib.load, snakemake.input.t1w)
        before, after = view(resample(t2w, moving, np.eye(4))), view(registered.dataobj)
    if snakemake.input.mask:
        mask = view(nib.load(snakemake.input.mask[0]).dataobj).astype(np.uint8)
    images = SessionImages(view(t2w.dataobj), before, after, mask, sagittal_spacing(t2w.affine)[1:])
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    save_picture(session_quality(images, labels), snakemake.output[0])
