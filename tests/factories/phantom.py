"""Phantom sessions as NIfTI images in memory, with the known motion between T2w and T1w."""

import nibabel as nib
import numpy as np

from lumbarseg.geometry import volume
from lumbarseg.phantom.patients import Patient, draw_patient
from lumbarseg.phantom.series import make_grid, motion_matrix, slice_image
from lumbarseg.phantom.spine import Spine, build_spine


def phantom_image(patient: Patient, spine: Spine, contrast: str) -> nib.Nifti1Image:
    """Return a series as dcm2niix would write it, uint16."""
    grid = make_grid(patient, contrast)
    slices = [slice_image(patient, spine, contrast, index)[::-1].T for index in range(grid.slices)]
    return volume(np.stack(slices, axis=-1), grid.affine)


def phantom_pair(number: int, matrices=(144, 160, 168), slices=(8, 10), seed=1):
    """Return T2w, T1w and the affine from T2w to T1w points (RAS, mm) of a patient of `write_cohort`."""
    patient = draw_patient(number, f"phantom{number:02d}", seed, list(matrices), slices)
    spine = build_spine(patient.body)
    t2w, t1w = (phantom_image(patient, spine, contrast) for contrast in ("T2w", "T1w"))
    return t2w, t1w, np.linalg.inv(motion_matrix(patient))


def target_registration_error(found, truth):
    """Return the mean distance in mm between the images of points around the vertebrae under two affines."""
    points = np.random.default_rng(5).uniform((-25, -35, -90), (25, 35, 90), size=(4000, 3))
    both = [points @ one[:3, :3].T + one[:3, 3] for one in (found, truth)]
    return float(np.linalg.norm(both[0] - both[1], axis=1).mean())
