"""Put a session's mask on the T2w grid, as class ids."""

from pathlib import Path

import nibabel as nib

from lumbarseg.anatomy import LabelTable
from lumbarseg.files import whole
from lumbarseg.geometry import codes_of, load_image, volume
from lumbarseg.itksnap import read_descriptions, with_described_values
from lumbarseg.joblog import job
from lumbarseg.masks import read_mask

with job(snakemake.log[0]):
    classes, background = snakemake.params.classes, snakemake.params.background
    for path in snakemake.input.get("descriptions", []):
        classes = with_described_values(classes, background, read_descriptions(path), path)
    labels = LabelTable(classes, background)
    t2w = load_image(Path(snakemake.input.image))
    voxels = read_mask(Path(snakemake.params.source), t2w, labels)
    with whole(snakemake.output[0]) as temporary:
        nib.save(volume(voxels, t2w.affine, codes_of(t2w)), temporary)
