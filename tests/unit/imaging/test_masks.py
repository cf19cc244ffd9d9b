"""Reading of masks."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)

from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, volume
from lumbarseg.imaging.masks import read_mask
from lumbarseg.labels import LabelTable

LABELS = LabelTable(
    [
        {"id": 0, "name": "Background", "colour": "#000000"},
        {"id": 1, "name": "Vert", "colour": "#e8c97d", "values": [20, 21, 22]},
        {"id": 2, "name": "Sacrum", "colour": "#b5762f", "values": [26]},
    ]
)
AFFINE = np.array([[0, 0, 4.4, -20], [-0.7, 0, 0, 60], [0, 0.7, 0, -50], [0, 0, 0, 1.0]])


@pytest.fixture
def drawn():
    values = np.random.default_rng(3).choice(np.array([0, 20, 21, 22, 26], "uint8"), size=(12, 10, 4))
    classes = np.select([values == 0, values == 26], [0, 2], 1).astype("uint8")
    return values, classes


@pytest.fixture
def t2w():
    return volume(np.ones((12, 10, 4), "int16"), AFFINE)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_read_mask_maps_values_of_any_dtype_to_classes(tmp_path, drawn, t2w, dtype):
    values, classes = drawn
    nib.save(volume(values.astype(dtype), AFFINE), tmp_path / "mask.nii.gz")
    mask = read_mask(tmp_path / "mask.nii.gz", t2w, LABELS)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, classes)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SRP", "PIL", "ASL"])
def test_read_mask_reorders_axes_to_those_of_the_image(tmp_path, drawn, t2w, orientation):
    values, classes = drawn
    wanted = nib.orientations.axcodes2ornt(orientation)
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), wanted)
    turned = volume(values, AFFINE).as_reoriented(turn)
    assert nib.aff2axcodes(turned.affine) == tuple(orientation)
    nib.save(turned, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz", t2w, LABELS), classes)


def test_read_mask_reads_mha(tmp_path, drawn, t2w):
    values, classes = drawn
    nib.save(volume(values, AFFINE), tmp_path / "mask.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "mask.nii.gz")), str(tmp_path / "mask.mha"))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.mha", t2w, LABELS), classes)


def test_read_mask_rejects_other_grids_with_numbers(tmp_path, drawn, t2w):
    values, _ = drawn
    moved = AFFINE.copy()
    moved[2, 3] += 0.7
    nib.save(volume(values, moved), tmp_path / "moved.nii.gz")
    with pytest.raises(InputError, match=r"moved\.nii\.gz: a corner voxel lies 0\.7 mm from"):
        read_mask(tmp_path / "moved.nii.gz", t2w, LABELS)
    nib.save(volume(values[:, :, :3], AFFINE), tmp_path / "short.nii.gz")
    with pytest.raises(InputError, match=r"12 × 10 × 3 voxels, but its T2w image has 12 × 10 × 4"):
        read_mask(tmp_path / "short.nii.gz", t2w, LABELS)


def test_read_mask_rejects_fractional_and_unknown_values(tmp_path, drawn, t2w):
    values, _ = drawn
    blurred = values.astype("float32")
    blurred[0, 0, 0] = 20.5
    nib.save(volume(blurred, AFFINE), tmp_path / "blurred.nii.gz")
    with pytest.raises(InputError, match=r"blurred\.nii\.gz: 1 voxels are not whole numbers \(such as 20\.5\)"):
        read_mask(tmp_path / "blurred.nii.gz", t2w, LABELS)
    unknown = values.copy()
    unknown[0, 0, :2] = 99
    nib.save(volume(unknown, AFFINE), tmp_path / "unknown.nii.gz")
    with pytest.raises(InputError, match=r"unknown\.nii\.gz: mask values 99 in 2 voxels belong to no class"):
        read_mask(tmp_path / "unknown.nii.gz", t2w, LABELS)


@pytest.mark.parametrize(("axis", "way"), [(1, "from head to foot"), (0, "from front to back")])
def test_read_mask_detects_a_mirrored_mask_by_image_edges(tmp_path, axis, way):
    rows, columns = np.indices((60, 60))
    body = ((rows - 22) ** 2 / 130 + (columns - 36) ** 2 / 200 < 1).astype("uint8") * 20
    values = np.repeat(body[:, :, None], 4, axis=2)
    image = volume((values * 20 + np.random.default_rng(0).normal(100, 20, values.shape)).astype("int16"), AFFINE)
    nib.save(volume(values, AFFINE), tmp_path / "mask.nii.gz")
    assert read_mask(tmp_path / "mask.nii.gz", image, LABELS).any()
    nib.save(volume(np.flip(values, axis), AFFINE), tmp_path / "mirrored.nii.gz")
    with pytest.raises(InputError, match=rf"mirrored\.nii\.gz: mirrored {way}, .* times stronger; flip the mask"):
        read_mask(tmp_path / "mirrored.nii.gz", image, LABELS)
    # mirrored in its header as well, it lies where it should
    turn = np.stack([np.arange(3), np.where(np.arange(3) == axis, -1, 1)], axis=1)
    nib.save(volume(values, AFFINE).as_reoriented(turn), tmp_path / "turned.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "turned.nii.gz", image, LABELS) == 1, values == 20)


def test_read_mask_detects_every_mirrored_real_mask(shared_data, tmp_path):
    labels = LabelTable(
        [
            {"id": 0, "name": "Background", "colour": "#000000"},
            {"id": 1, "name": "Vert", "colour": "#e8c97d", "values": list(range(1, 10))},
        ]
    )
    for path in sorted((shared_data / "lumbar_t2").glob("*_T2w.nii.gz")):
        image = load_image(path)
        mask = load_image(path.with_name(path.name.replace("_T2w", "_T2w_vertebrae")))
        view = np.asanyarray(mask.dataobj)
        in_plane = [axis for axis, code in enumerate(nib.aff2axcodes(mask.affine)) if code not in "LR"]
        for axis in in_plane:
            nib.save(volume(np.flip(view, axis), mask.affine), tmp_path / "mirrored.nii")
            with pytest.raises(InputError, match="mirrored"):
                read_mask(tmp_path / "mirrored.nii", image, labels)


def test_read_mask_keeps_the_vertebrae_of_a_real_mask(shared_data):
    image = load_image(shared_data / "lumbar_t2" / "sub-lumbar02_T2w.nii.gz")
    path = shared_data / "lumbar_t2" / "sub-lumbar02_T2w_vertebrae.nii.gz"
    labels = LabelTable(
        [
            {"id": 0, "name": "Background", "colour": "#000000"},
            {"id": 1, "name": "Vert", "colour": "#e8c97d", "values": list(range(1, 8))},
        ]
    )
    mask = read_mask(path, image, labels)
    np.testing.assert_array_equal(mask, nib.load(path).get_fdata() > 0)
    assert mask.any()
