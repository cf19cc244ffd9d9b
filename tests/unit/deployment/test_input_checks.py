"""Checks of new images before segmentation."""

import nibabel as nib
import numpy as np
import pytest

from lumbarseg.deployment.input_checks import require_mr, require_one_patient, require_same_image
from lumbarseg.errors import InputError
from lumbarseg.geometry import volume
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.series import dicom_slice


def test_require_mr_rejects_ct_but_accepts_few_negative_values():
    voxels = np.full((6, 6, 6), 100, np.int16)
    voxels[:, :, 0] = -20
    require_mr(volume(voxels, np.diag([4.0, 0.7, 0.7, 1.0])), "p1")
    voxels[:, :, :2] = -1000
    with pytest.raises(InputError, match="p1: 33 % of the voxels are below -500, as in CT"):
        require_mr(volume(voxels, np.diag([4.0, 0.7, 0.7, 1.0])), "p1")


def test_require_one_patient_rejects_contrasts_of_two_patients(tmp_path):
    for number in (1, 2):
        patient = draw_patient(number, f"phantom0{number}", 1, [64], (3, 3))
        for contrast in ("T2w", "T1w"):
            (tmp_path / f"{number}{contrast}").mkdir()
            pixels = np.ones((64, 64), np.uint16)
            dicom_slice(patient, contrast, 1, pixels).save_as(
                tmp_path / f"{number}{contrast}/1.dcm", enforce_file_format=True
            )
    require_one_patient({"T2w": tmp_path / "1T2w", "T1w": tmp_path / "1T1w"})
    with pytest.raises(InputError, match="images of 2 patients; use both contrasts of one session") as refusal:
        require_one_patient({"T2w": tmp_path / "1T2w", "T1w": tmp_path / "2T1w"})
    assert "SIP" not in str(refusal.value)
    require_one_patient({"T2w": tmp_path / "1T2w", "T1w": tmp_path / "t1w.nii.gz"})


def image_of(seed, spacing=0.7, shape=(6, 6, 3)):
    voxels = np.random.default_rng(seed).integers(0, 500, shape).astype(np.int16)
    return volume(voxels, np.diag([4.0, spacing, spacing, 1.0]))


def test_require_same_image_accepts_an_empty_folder_and_results_of_the_same_image(tmp_path):
    require_same_image(tmp_path, image_of(1))
    nib.save(image_of(1), tmp_path / "t2w.nii.gz")
    nib.save(image_of(9), tmp_path / "labels.nii.gz")
    require_same_image(tmp_path, image_of(1))
    (tmp_path / "t2w.nii.gz").unlink()
    require_same_image(tmp_path, image_of(1))  # of labels alone, only the grid can be compared


@pytest.mark.parametrize(
    ("name", "earlier"),
    [
        ("t2w.nii.gz", image_of(2)),
        ("t2w.nii.gz", image_of(1, spacing=0.71)),
        ("labels.nii.gz", image_of(1, shape=(6, 6, 4))),
        ("labels.nii.gz", image_of(1, spacing=0.8)),
    ],
)
def test_require_same_image_refuses_results_of_another_image(tmp_path, name, earlier):
    nib.save(earlier, tmp_path / name)
    with pytest.raises(
        InputError, match=rf"^{tmp_path}/{name}: not of the T2w image that is read, so the results in {tmp_path}"
    ):
        require_same_image(tmp_path, image_of(1))


def test_require_same_image_refuses_an_image_that_cannot_be_read(tmp_path):
    (tmp_path / "t2w.nii.gz").write_bytes(b"damaged")
    with pytest.raises(InputError, match="not of the T2w image that is read"):
        require_same_image(tmp_path, image_of(1))
