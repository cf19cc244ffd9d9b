"""Put a session's mask on the T2w grid, as class ids."""

from pathlib import Path

import nibabel as nib

from lumbarseg.anatomy import LabelTable
from lumbarseg.files import whole
from lumbarseg.geometry import codes_of, load_image, volume
from lumbarseg.joblog import job
from lumbarseg.masks import read_mask

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    t2w = load_image(Path(snakemake.input.image))
    voxels = read_mask(Path(snakemake.params.source), t2w, labels)
    with whole(snakemake.output[0]) as temporary:
        nib.save(volume(voxels, t2w.affine, codes_of(t2w)), temporary)
