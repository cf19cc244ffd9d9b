"""Take the slices of one session that show the data and their preprocessing (Figures 2 and 3) out of its images."""

import nibabel as nib
import numpy as np

from lumbarseg.data.tiling import window_starts
from lumbarseg.geometry import read_view, sagittal_view
from lumbarseg.imaging.registration.transforms import resample
from lumbarseg.reporting.figures.slices import LabelledSlice, Preprocessing
from lumbarseg.reporting.figures.stored import store_slices
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    (t2w, spacing), (truth, _) = read_view(snakemake.input.t2w[0]), read_view(snakemake.input.mask[0])
    before = after = None
    if snakemake.input.t1w:
        fixed, moving = nib.load(snakemake.input.t2w[0]), nib.load(snakemake.input.t1w[0])
        before = sagittal_view(resample(fixed, moving, np.eye(4)), fixed.affine)
        after, _ = read_view(snakemake.input.t1w[1])
    normalised = [read_view(path)[0] for path in snakemake.input.normalised]
    middle, beside = len(t2w) // 2, len(t2w) // 4
    examples = [
        LabelledSlice(t2w[number], None if after is None else after[number], truth[number], spacing, name)
        for number, name in ((middle, "middle"), (beside, "beside it"))
    ]
    store_slices(snakemake.output.labelled, examples)
    side, stride = params.patches["patch_size"], params.patches["stride"]
    steps = Preprocessing(
        t2w=t2w[middle],
        t1w_before=None if before is None else before[middle],
        t1w_after=None if after is None else after[middle],
        normalised_t2w=normalised[0][middle],
        normalised_t1w=None if after is None else normalised[1][middle],
        truth=truth[middle],
        spacing=spacing,
        row_starts=window_starts(t2w.shape[1], side, stride),
        column_starts=window_starts(t2w.shape[2], side, stride),
        side=side,
    )
    store_slices(snakemake.output.steps, [steps])
