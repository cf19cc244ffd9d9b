"""Patches of sessions on disk."""

import nibabel as nib
import numpy as np
import pytest

from lumbarseg.atomic_io import read_json
from lumbarseg.data.dataset import PatchSet, write_patches
from lumbarseg.data.tiling import Tiling, stitch
from lumbarseg.geometry import from_sagittal_view, load_image, sagittal_view
from lumbarseg.imaging.conversion import convert
from lumbarseg.imaging.normalisation import zscore

SAGITTAL = np.array([[0, 0, -4.4, 10], [-0.713, 0, 0, 5], [0, 0.713, 0, -7], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("rows", "columns", "dtype", "slope", "constant"),
    [
        (200, 200, "uint8", None, False),
        (520, 1400, "int16", None, False),
        (300, 1000, "uint16", None, True),  # one slice of a single value
        (641, 333, "int32", None, False),
        (200, 700, "int16", (0.37, -21.5), False),  # slope and intercept
        (256, 257, "float32", None, False),
    ],
)
def test_write_patches_keeps_slices_of_any_image_exactly(tmp_path, rows, columns, dtype, slope, constant):
    generator = np.random.default_rng(rows)
    highest = min(np.iinfo(dtype).max, 10**6) if np.issubdtype(dtype, np.integer) else 4000
    voxels = (generator.random((columns, rows, 3)) * highest).astype(dtype)
    if constant:
        voxels[:, :, 1] = 7
    image = nib.Nifti1Image(voxels, SAGITTAL)
    image.set_sform(SAGITTAL, 1)
    image.set_qform(SAGITTAL, 1)
    meant = voxels.astype(np.float64)
    if slope:
        image.header.set_slope_inter(*slope)
        nib.save(image, tmp_path / "scan.nii.gz")
        meant = nib.load(tmp_path / "scan.nii.gz").get_fdata()
    nib.save(image, tmp_path / "scan.nii.gz")
    convert(tmp_path / "scan.nii.gz", "T2w", tmp_path / "t2w.nii.gz", tmp_path / "t2w.json")
    converted = load_image(tmp_path / "t2w.nii.gz")
    np.testing.assert_allclose(np.asanyarray(converted.dataobj), meant, rtol=1e-6)

    for scope in ("volume", "slice"):
        scores = zscore(sagittal_view(np.asanyarray(converted.dataobj), converted.affine), scope)
        assert scores.shape == (3, rows, columns)
        assert np.isfinite(scores).all()
    if constant:
        assert not scores[1].any()  # by slice, a constant slice becomes zero
    labels = (np.abs(scores) > 1).astype(np.uint8)
    description = tmp_path / "a_patches.json"
    write_patches(
        scores[..., None], labels, side=256, stride=192, background=0, description=description,
        images_path=tmp_path / "a_images.b2nd", labels_path=tmp_path / "a_labels.b2nd",
    )  # fmt: skip
    content = read_json(description)
    tiling = Tiling(*(content[key] for key in ("rows", "columns", "side", "stride")))
    patches = PatchSet([description])
    assert len(patches) == 3 * tiling.count
    for number in range(content["slices"]):
        images, masks = patches.read(range(number * tiling.count, (number + 1) * tiling.count))
        np.testing.assert_allclose(stitch(images, tiling)[..., 0], scores[number], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(stitch(masks[..., None], tiling)[..., 0], labels[number])
    # and back to the order of the file
    np.testing.assert_array_equal(sagittal_view(from_sagittal_view(scores, converted.affine), converted.affine), scores)
