"""Reading of images, the sagittal view, and comparison of grids."""

import itertools
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from factories.orientation import ORIENTATIONS, SIZE, affine_of
from lumbarseg.errors import InputError
from lumbarseg.geometry import (
    codes_of,
    corner_displacement,
    from_sagittal_view,
    load_image,
    require_same_grid,
    sagittal_spacing,
    sagittal_view,
    volume,
)


def world_of(index, affine):
    return (affine @ [*index, 1])[:3]


@settings(deadline=None)
@given(st.sampled_from(ORIENTATIONS), st.floats(-20, 20), st.sampled_from(["uint8", "int16", "float32"]), st.booleans())
def test_sagittal_view_runs_right_to_left_superior_to_inferior_anterior_to_posterior(codes, tilt, dtype, with_channels):
    assert len(set(ORIENTATIONS)) == 48
    affine = affine_of(codes, tilt)
    shape = tuple(SIZE[code] for code in codes)
    voxels = np.arange(np.prod(shape) * (2 if with_channels else 1)).reshape(*shape, *([2] if with_channels else []))
    view = sagittal_view(voxels.astype(dtype), affine)
    assert view.shape[:3] == (3, 5, 4)
    assert view.dtype == dtype
    assert sagittal_spacing(affine) == pytest.approx((4.4, 0.6, 0.7))

    # where a voxel of the view lies, found through its value, which is its place in the file
    def place(*index):
        value = int(view[index].flat[0]) // (2 if with_channels else 1)
        return world_of(np.unravel_index(value, shape), affine)

    for step, world in (((1, 0, 0), 0), ((0, 1, 0), 2), ((0, 0, 1), 1)):
        assert place(*step)[world] < place(0, 0, 0)[world]

    back = from_sagittal_view(view, affine)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, voxels.astype(dtype))


def test_corner_displacement_is_that_of_the_farthest_corner():
    affine = affine_of("PSR")
    turned = affine.copy()
    turned[:3, :3] = Rotation.from_euler("x", 1, degrees=True).as_matrix() @ affine[:3, :3]
    expected = max(
        np.linalg.norm(world_of(corner, affine) - world_of(corner, turned))
        for corner in itertools.product((0, 99), (0, 79), (0, 11))
    )
    assert corner_displacement((100, 80, 12), affine, turned) == pytest.approx(expected)


def test_require_same_grid_accepts_the_same_grid_only():
    affine = affine_of("PSR")
    image = volume(np.zeros((6, 5, 4), "int16"), affine)
    shifted = affine.copy()
    shifted[0, 3] += 0.05
    require_same_grid(image, volume(np.zeros((6, 5, 4), "uint8"), shifted), ("t2.nii.gz", "mask.nii.gz"), 0.1)
    shifted[0, 3] += 0.2
    with pytest.raises(
        InputError, match=r"mask\.nii\.gz: a corner voxel lies 0\.25 mm from that of t2\.nii\.gz \(limit 0\.1 mm\)"
    ):
        require_same_grid(image, volume(np.zeros((6, 5, 4), "uint8"), shifted), ("t2.nii.gz", "mask.nii.gz"), 0.1)
    with pytest.raises(InputError, match=r"mask\.nii\.gz: 6 × 5 × 3 voxels, but t2\.nii\.gz has 6 × 5 × 4"):
        require_same_grid(image, volume(np.zeros((6, 5, 3), "uint8"), affine), ("t2.nii.gz", "mask.nii.gz"), 0.1)
    shifted[0, 3] = np.nan
    with pytest.raises(InputError):
        require_same_grid(image, volume(np.zeros((6, 5, 4), "uint8"), shifted, (1, 0)), ("a", "b"), 0.1)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
@pytest.mark.parametrize("codes", ["LPS", "PSR", "ASL"])
def test_load_image_places_itk_files_like_nifti_files(tmp_path, ending, codes):
    affine = affine_of(codes, tilt=7)
    voxels = np.arange(60, dtype="int16").reshape(5, 4, 3)
    nib.save(volume(voxels, affine), tmp_path / "image.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "image.nii.gz")), str(tmp_path / f"image{ending}"))
    loaded = load_image(tmp_path / f"image{ending}")
    np.testing.assert_array_equal(loaded.get_fdata(), voxels)
    np.testing.assert_allclose(loaded.affine, affine, atol=1e-4)
    assert codes_of(loaded) == (1, 1)
    assert loaded.get_data_dtype() == np.int16


def test_load_image_reads_scaled_big_endian_and_single_volume_4d_files(tmp_path):
    voxels = np.arange(24, dtype=">i2").reshape(2, 3, 4, 1)
    image = nib.Nifti1Image(voxels, affine_of("LPS"), nib.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "image.nii")
    loaded = load_image(tmp_path / "image.nii")
    assert loaded.shape == (2, 3, 4)
    np.testing.assert_allclose(loaded.get_fdata(), nib.load(tmp_path / "image.nii").get_fdata()[..., 0])
    assert np.asanyarray(loaded.dataobj).dtype.isnative
    (tmp_path / "image.nii").unlink()
    assert loaded.get_fdata().max() > 0  # independent of the file


def test_volume_stores_the_affine_in_both_forms_and_no_text():
    affine = affine_of("PSR", tilt=5)
    image = volume(np.ones((2, 3, 4), "float32"), affine, (2, 1))
    np.testing.assert_allclose(image.get_sform(), affine, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-5)
    assert codes_of(image) == (2, 1)
    assert all(image.header[name] == b"" for name in ("descrip", "db_name", "aux_file", "intent_name"))


def save(path, voxels, affine=None, codes=(1, 1)):
    nib.save(volume(voxels, affine_of("PSR") if affine is None else affine, codes), path)
    return path


def test_load_image_rejects_unusable_files_in_one_sentence(tmp_path):
    good = np.ones((4, 4, 3), "float32")
    holed = good.copy()
    holed[1, 2, 1] = np.nan
    holed[0, 0, 0] = np.inf
    sheared = affine_of("LPS")
    sheared[:3, 1] += 0.1 * sheared[:3, 2]
    nib.save(nib.Nifti1Image(good, sheared), tmp_path / "sheared.nii")
    flat = bytearray(save(tmp_path / "flat.nii", good).read_bytes())
    flat[280:328] = bytes(48)  # the sform's three rows
    (tmp_path / "flat.nii").write_bytes(flat)
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((3, 4, 5), "int16")), str(tmp_path / "flat.mha"))
    header = (tmp_path / "flat.mha").read_bytes().replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 0 1")
    (tmp_path / "flat.mha").write_bytes(header)
    nib.save(nib.Nifti1Image(np.ones((4, 4, 3, 2), "f4"), np.eye(4)), tmp_path / "four.nii")
    colours = np.zeros((4, 4, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "colours.nii")
    whole = save(tmp_path / "whole.nii.gz", np.random.default_rng(0).normal(size=(30, 30, 5))).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii").write_text("this is no image" * 100)
    (tmp_path / "text.mha").write_text("this is no image" * 100)
    (tmp_path / "empty.nii.gz").touch()
    (tmp_path / "image.png").write_bytes(b"png")
    sitk.WriteImage(sitk.Image(5, 5, sitk.sitkUInt8), str(tmp_path / "two.mha"))
    cases = {
        tmp_path / "none.nii.gz": "file not found",
        tmp_path / "empty.nii.gz": "empty file",
        tmp_path / "cut.nii.gz": "not a readable NIfTI image",
        tmp_path / "text.nii": "not a readable NIfTI image",
        tmp_path / "text.mha": "not a readable MHA or NRRD image",
        tmp_path / "image.png": "unknown file type",
        tmp_path / "four.nii": "4 × 4 × 3 × 2 voxels are not one 3-D volume",
        tmp_path / "two.mha": "2 dimensions",
        tmp_path / "colours.nii": "not single numbers",
        tmp_path / "flat.nii": "lacks an axis",
        tmp_path / "flat.mha": "not a readable MHA or NRRD image",
        tmp_path / "sheared.nii": "perpendicular",
        save(tmp_path / "nowhere.nii", good, codes=(0, 0)): "no position in space",
        save(tmp_path / "holed.nii.gz", holed): "2 voxels are NaN or infinite",
    }
    for path, expected in cases.items():
        with pytest.raises(InputError) as caught:
            load_image(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert expected in message, message
        assert "\n" not in message


def test_load_image_reports_files_that_may_not_be_read(tmp_path, monkeypatch):
    nib.save(volume(np.ones((3, 4, 5), "int16"), np.eye(4)), tmp_path / "image.nii")

    def refuse(*_, **__):  # not by the file's mode, because root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match=r"image\.nii: cannot be read \(Permission denied\); copy it again or fix its"):
        load_image(tmp_path / "image.nii")


def test_load_image_rejects_names_that_are_not_utf8_where_itk_reads(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    for ending in (".mha", ".nrrd"):
        sitk.WriteImage(sitk.Image(3, 4, 5, sitk.sitkUInt8), str(tmp_path / f"image{ending}"))
        (tmp_path / f"image{ending}").rename(tmp_path / f"{name}{ending}")
        with pytest.raises(InputError, match=rf"caf\\udce9\{ending}: the name is not UTF-8; rename the file"):
            load_image(tmp_path / f"{name}{ending}")
    nib.save(volume(np.ones((3, 4, 5), "int16"), np.eye(4)), tmp_path / f"{name}.nii.gz")
    assert load_image(tmp_path / f"{name}.nii.gz").shape == (3, 4, 5)


def test_load_image_reads_a_list_of_one_volume_in_nrrd(tmp_path):
    header = ["NRRD0004", "type: uchar", "dimension: 4", "space: left-posterior-superior", "sizes: 1 2 3 4"]
    header += ["space directions: none (1,0,0) (0,1,0) (0,0,1)", "kinds: list domain domain domain"]
    header += ["encoding: raw", "space origin: (0,0,0)", "", ""]
    (tmp_path / "image.nrrd").write_bytes("\n".join(header).encode() + bytes(range(24)))
    voxels = np.arange(24).reshape(2, 3, 4, order="F")
    np.testing.assert_array_equal(load_image(tmp_path / "image.nrrd").dataobj, voxels)
