"""Verification of image files: damage that libraries do not notice."""

import gzip
import re

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)
from scipy.ndimage import gaussian_filter

from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, read_grid, read_view, volume

AFFINE = np.array([[0, 0, -4.4, 10], [-0.8, 0, 0, 5], [0, 0.8, 0, -7], [0, 0, 0, 1.0]])
VOXELS = (gaussian_filter(np.random.default_rng(0).normal(size=(32, 28, 5)), 2) * 3000).astype("int16")
# The file that is opened, and that with the voxels.
COMPRESSED = {
    "scan.nii.gz": "scan.nii.gz", "scan.mha": "scan.mha", "scan.nrrd": "scan.nrrd", "scan.mhd": "scan.zraw",
    "scan.nhdr": "scan.raw.gz",
}  # fmt: skip
PLAIN = {"scan.nii": "scan.nii", "scan.mha": "scan.mha", "scan.nrrd": "scan.nrrd", "scan.mhd": "scan.raw"}


def write(folder, name, compressed=True):
    nib.save(volume(VOXELS, AFFINE), folder / "first.nii")
    if ".nii" in name:
        nib.save(volume(VOXELS, AFFINE), folder / name)
    else:
        sitk.WriteImage(sitk.ReadImage(str(folder / "first.nii")), str(folder / name), useCompression=compressed)


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a readable ")
    assert message.endswith("; copy it again")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "data"), COMPRESSED.items())
def test_load_image_finds_every_flipped_bit_that_changes_a_voxel(tmp_path, name, data):
    write(tmp_path, name)
    whole = (tmp_path / data).read_bytes()
    refused = 0
    # After the headers, which have no checksum in MHA and NRRD.
    first = 20 if name.endswith(".gz") else len(whole) * (data == name) // 4
    for place in np.random.default_rng(1).integers(8 * first, 8 * len(whole), 60):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / data).write_bytes(damaged)
        try:
            image = load_image(tmp_path / name)
        except InputError as error:
            assert str(error).startswith(f"{tmp_path / name}: not a readable")
            refused += 1
        else:
            np.testing.assert_array_equal(image.dataobj, VOXELS)
    assert refused >= 58


@pytest.mark.parametrize(("name", "data"), COMPRESSED.items())
def test_load_image_rejects_compressed_files_cut_anywhere(tmp_path, name, data):
    write(tmp_path, name)
    whole = (tmp_path / data).read_bytes()
    for left_out in (1, 4, 8, len(whole) // 2):
        (tmp_path / data).write_bytes(whole[:-left_out])
        refusal(tmp_path / name)


@pytest.mark.parametrize(("name", "data"), PLAIN.items())
def test_load_image_rejects_files_whose_size_is_not_that_of_their_header(tmp_path, name, data):
    write(tmp_path, name, compressed=False)
    whole = (tmp_path / data).read_bytes()
    (tmp_path / data).write_bytes(whole + bytes(512))  # padding
    np.testing.assert_array_equal(load_image(tmp_path / name).dataobj, VOXELS)
    (tmp_path / data).write_bytes(whole[:-1])
    assert "its header describes" in refusal(tmp_path / name)
    (tmp_path / data).write_bytes(whole + bytes(2000))
    assert "bytes" in refusal(tmp_path / name)


def test_load_image_rejects_sizes_beyond_the_file_without_reading_it(tmp_path):
    write(tmp_path, "scan.nii")
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    content[42:48] = np.array([8000, 8000, 8], "<i2").tobytes()
    (tmp_path / "scan.nii").write_bytes(content)
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(content))
    assert "more than the file can hold" in refusal(tmp_path / "scan.nii")
    assert "more than the file can hold" in refusal(tmp_path / "scan.nii.gz")
    content[42:48] = np.array([30000, 30000, 300], "<i2").tobytes()
    (tmp_path / "scan.nii").write_bytes(content)
    assert "more than any MR image has" in refusal(tmp_path / "scan.nii")


def test_load_image_rejects_voxels_of_impossible_size(tmp_path):
    for factor in (1000, 0.001, 1e30):
        affine = AFFINE * factor
        affine[3, 3] = 1
        nib.save(nib.Nifti1Image(VOXELS, affine), tmp_path / "scan.nii.gz")
        with pytest.raises(InputError, match=r"scan\.nii\.gz: voxels of .* mm are impossible in MR; convert it again"):
            load_image(tmp_path / "scan.nii.gz")


def test_load_image_reads_gzip_of_several_members_and_scaled_integers(tmp_path):
    image = volume(VOXELS, AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "scan.nii")
    content = (tmp_path / "scan.nii").read_bytes()
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    expected = nib.load(tmp_path / "scan.nii").get_fdata()
    np.testing.assert_allclose(load_image(tmp_path / "scan.nii.gz").dataobj, expected, rtol=1e-6)


def test_read_view_names_the_stage_that_writes_a_damaged_file(tmp_path):
    write(tmp_path, "scan.nii.gz")
    content = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    content[-6] ^= 1
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.nii\.gz: .*CRC.*; delete it and run `snakemake register` again"):
        read_view(tmp_path / "scan.nii.gz", "register")
    (tmp_path / "scan.nii.gz").write_bytes(content[:8])
    with pytest.raises(InputError, match=r"scan\.nii\.gz: .*; delete it and run `snakemake convert` again"):
        read_grid(tmp_path / "scan.nii.gz", "convert")


def refusal_in_full(path):
    with pytest.raises(InputError) as caught:
        load_image(path)
    assert str(caught.value).startswith(f"{path}: not a readable MHA or NRRD image (")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(file, pattern, replacement):
    content, count = re.subn(pattern, replacement, file.read_bytes())
    assert count
    file.write_bytes(content)


@pytest.mark.parametrize("stated", [None, b"0", b"-1", b"100", b"1e3", b"999999999", b"x"])
def test_load_image_rejects_mha_that_states_another_number_of_compressed_bytes(tmp_path, stated):
    write(tmp_path, "scan.mha")
    line = b"" if stated is None else b"CompressedDataSize = " + stated + b"\n"
    changed(tmp_path / "scan.mha", rb"CompressedDataSize = \d+\n", line)
    assert "CompressedDataSize is not the " in refusal(tmp_path / "scan.mha")
    write(tmp_path, "scan.mhd")
    changed(tmp_path / "scan.mhd", rb"CompressedDataSize = \d+\n", line)
    if stated is None:  # the file of the voxels says it
        np.testing.assert_array_equal(load_image(tmp_path / "scan.mhd").dataobj, VOXELS)
    else:
        refusal(tmp_path / "scan.mhd")


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [(b"ObjectType", b"HeaderSize = 0\nObjectType"), (b" = ", b": "), (b" = ", b"="), (b"CompressedData = True", b"CompressedData = 1")],
)  # fmt: skip
def test_load_image_verifies_mha_headers_of_other_forms(tmp_path, pattern, replacement):
    write(tmp_path, "scan.mha")
    changed(tmp_path / "scan.mha", pattern, replacement)
    np.testing.assert_array_equal(load_image(tmp_path / "scan.mha").dataobj, VOXELS)
    damaged = bytearray((tmp_path / "scan.mha").read_bytes())
    damaged[-1000] ^= 4
    (tmp_path / "scan.mha").write_bytes(damaged)
    refusal(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [(b"ObjectType", b"HeaderSize = -1\nObjectType"), (b"ObjectType", b"Comment = " + b"x" * 1100000 + b"\nObjectType")],
)  # fmt: skip
def test_load_image_rejects_compressed_mha_that_cannot_be_verified(tmp_path, pattern, replacement):
    write(tmp_path, "scan.mha")
    changed(tmp_path / "scan.mha", pattern, replacement)
    message = refusal_in_full(tmp_path / "scan.mha")
    assert message.endswith("(its voxels cannot be verified); save it again as NIfTI")


def test_load_image_rejects_a_field_that_stands_twice(tmp_path):
    write(tmp_path, "scan.mha")
    changed(tmp_path / "scan.mha", b"ObjectType", b"DimSize = 1 1 1\nObjectType")
    assert "the field dimsize twice" in refusal(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "problem"),
    [
        ("scan.mha", rb"ElementSpacing = .*\n", b"", "no voxel sizes (ElementSpacing) in numbers"),
        (
            "scan.mha",
            rb"ElementSpacing = .*\n",
            b"ElementSpacing = 4,4 0,8 0,8\n",
            "no voxel sizes (ElementSpacing) in numbers",
        ),
        ("scan.mha", rb"TransformMatrix = .*\n", b"", "no directions (TransformMatrix) in numbers"),
        ("scan.nrrd", rb"space directions: .*\n", b"", "no space directions"),
        ("scan.nrrd", rb"space directions: .*\n", b"spacings: 0.8 0.8 4.4\n", "no space directions"),
        ("scan.nrrd", rb"space: .*\n", b"space: scanner-xyz\n", "names no space of a patient (LPS, RAS or LAS)"),
        ("scan.nrrd", rb"space: .*\n", b"space: 3D-right-handed\n", "names no space of a patient (LPS, RAS or LAS)"),
        ("scan.nrrd", rb"space: .*\n", b"space dimension: 3\n", "names no space of a patient (LPS, RAS or LAS)"),
    ],
)
def test_load_image_rejects_headers_that_do_not_state_the_geometry(tmp_path, name, pattern, replacement, problem):
    write(tmp_path, name)
    changed(tmp_path / name, pattern, replacement)
    message = refusal_in_full(tmp_path / name)
    assert problem in message
    assert message.endswith("; convert it again from the DICOM files")


@pytest.mark.parametrize(("space", "signs"), [("LPS", (1, 1)), ("RAS", (-1, -1)), ("left-anterior-superior", (1, -1)), ("Ras", (-1, -1))])  # fmt: skip
def test_load_image_reads_nrrd_in_the_spaces_of_a_patient(tmp_path, space, signs):
    write(tmp_path, "scan.nrrd")
    changed(tmp_path / "scan.nrrd", rb"space: .*\n", f"space: {space}\n".encode())
    np.testing.assert_allclose(load_image(tmp_path / "scan.nrrd").affine, np.diag([*signs, 1, 1]) @ AFFINE, atol=1e-6)


def test_load_image_reads_nrrd_with_pairs_of_its_own_and_gzip_of_several_members(tmp_path):
    write(tmp_path, "scan.nrrd")
    head, _, voxels = (tmp_path / "scan.nrrd").read_bytes().partition(b"\n\n")
    head += b"\ndata file:=/patient/1.dcm\ntype:=block\nencoding:=raw\n\n"
    plain = gzip.decompress(voxels)
    members = gzip.compress(b"") + b"".join(gzip.compress(plain[at : at + 3000]) for at in range(0, len(plain), 3000))
    for content in (voxels, members):
        (tmp_path / "scan.nrrd").write_bytes(head + content)
        np.testing.assert_array_equal(load_image(tmp_path / "scan.nrrd").dataobj, VOXELS)
    (tmp_path / "scan.nrrd").write_bytes(head + members[:-1] + b"\1")
    refusal(tmp_path / "scan.nrrd")


@pytest.mark.parametrize("name", ["SCAN.NII.GZ", "scan.NII", "Scan.MHA", "scan.NRRD"])
def test_load_image_reads_endings_in_capital_letters(tmp_path, name):
    write(tmp_path, name.lower())
    (tmp_path / name.lower()).rename(tmp_path / name)
    np.testing.assert_array_equal(load_image(tmp_path / name).dataobj, VOXELS)


def test_load_image_reads_files_filled_to_whole_blocks(tmp_path):
    write(tmp_path, "scan.nii")
    content = (tmp_path / "scan.nii").read_bytes()
    (tmp_path / "scan.nii").write_bytes(content + bytes(-len(content) % 4096))
    np.testing.assert_array_equal(load_image(tmp_path / "scan.nii").dataobj, VOXELS)
