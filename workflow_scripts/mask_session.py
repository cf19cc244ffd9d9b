"""Write a session's mask as class ids on the T2w grid."""

from pathlib import Path

import nibabel as nib

from lumbarseg.atomic_io import atomic_write
from lumbarseg.geometry import codes_of, load_image, volume
from lumbarseg.imaging.masks import read_mask
from lumbarseg.itksnap import read_descriptions, with_described_values
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    for path in snakemake.input.get("descriptions", []):
        labels = with_described_values(labels, read_descriptions(path), path)
    t2w = load_image(Path(snakemake.input.image), "convert")
    voxels = read_mask(Path(snakemake.params.source), t2w, labels)
    with atomic_write(snakemake.output[0]) as temporary:
        nib.save(volume(voxels, t2w.affine, codes_of(t2w)), temporary)
