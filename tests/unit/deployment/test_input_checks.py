"""Checks of new images before segmentation."""

import numpy as np
import pytest

from lumbarseg.deployment.input_checks import require_mr, require_one_patient
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
