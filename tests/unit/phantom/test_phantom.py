"""The phantom cohort: reproducibility, anatomy, signal, motion and files."""

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from math import exp
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
from nibabel.orientations import aff2axcodes
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from lumbarseg.phantom.cohort import participant_ids, write_cohort
from lumbarseg.phantom.patients import SITES, draw_patient
from lumbarseg.phantom.series import (
    anatomy_from_world,
    clean_slice,
    dicom_slice,
    label_volume,
    make_grid,
    motion_matrix,
    rotation_matrix,
    slice_image,
    write_series,
)
from lumbarseg.phantom.signal import TISSUES, Tissue, acquire, spin_echo
from lumbarseg.phantom.spine import build_spine

MATRIX, SLICES = 96, (8, 8)


@cache
def made(number, matrix=MATRIX, slices=SLICES):
    patient = draw_patient(number, participant_ids(number)[-1], 1, [matrix], slices)
    return patient, build_spine(patient.body)


@cache
def labels_of(number):
    return label_volume(*made(number))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, patients=2, seed=1, matrices=[MATRIX], slices=SLICES)
    return folder


@pytest.fixture(scope="module")
def converted(cohort, tmp_path_factory):
    """Every series of the cohort as converted by dcm2niix, and the output of dcm2niix."""
    out = tmp_path_factory.mktemp("converted")
    images, said = {}, ""
    for series in sorted((cohort / "dicom").glob("*/*")):
        name = f"{series.parent.name}_{series.name}"
        command = [str(Path(sys.executable).with_name("dcm2niix")), "-f", name, "-o", str(out), "-z", "n", str(series)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said += done.stdout + done.stderr
        images[series.parent.name, series.name] = nibabel.load(out / f"{name}.nii")
    return images, said


def headers(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


# ---- the cohort ------------------------------------------------------------------------------------------------------


def test_participant_ids_have_at_least_two_digits():
    assert participant_ids(3) == ["phantom01", "phantom02", "phantom03"]
    assert participant_ids(181)[-1] == "phantom181"


def test_participant_ids_load_no_numerical_package():
    code = (
        "import sys; from lumbarseg.phantom.cohort import participant_ids; participant_ids(3); "
        "print([m for m in ('numpy', 'scipy', 'pydicom', 'nibabel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == "[]"


def _environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "workflow_scripts")}


def test_write_cohort_writes_a_sheet_of_existing_files(cohort):
    sheet = pd.read_csv(cohort / "sessions.tsv", sep="\t", dtype={"session_id": str})
    assert list(sheet.columns) == ["participant_id", "session_id", "t2w", "t1w", "mask", "age", "sex", "weight", "site"]
    assert list(sheet.participant_id) == participant_ids(2)
    assert set(sheet.session_id) == {"01"}
    for column in ("t2w", "t1w", "mask"):
        assert all((cohort / path).exists() for path in sheet[column])
    assert all(len(list((cohort / path).glob("*.dcm"))) == 8 for path in [*sheet.t2w, *sheet.t1w])


def test_write_cohort_depends_on_the_seed_only(cohort, tmp_path):
    write_cohort(tmp_path, patients=3, seed=1, matrices=[MATRIX], slices=SLICES, processes=2)
    files = [path.relative_to(cohort) for path in cohort.rglob("phantom*/**/*.dcm")]
    files += [path.relative_to(cohort) for path in (cohort / "truth").iterdir()]
    assert len(files) == 2 * (16 + 1)
    assert all((cohort / path).read_bytes() == (tmp_path / path).read_bytes() for path in files)
    ours, theirs = (nibabel.load(folder / "masks/phantom02_mask.nii.gz").get_fdata() for folder in (cohort, tmp_path))
    assert np.array_equal(ours, theirs)


def test_draw_patient_depends_on_seed_and_number():
    first = draw_patient(1, "phantom01", 1, [MATRIX], SLICES)
    assert first == draw_patient(1, "phantom01", 1, [MATRIX], SLICES)
    assert first.body != draw_patient(1, "phantom01", 2, [MATRIX], SLICES).body
    assert first.body != draw_patient(2, "phantom02", 1, [MATRIX], SLICES).body


def test_write_cohort_reports_patients_and_removes_old_slices(tmp_path):
    seen = []
    write_cohort(tmp_path, patients=2, seed=3, matrices=[32], slices=(3, 3), on_progress=seen.append)
    assert seen == participant_ids(2)
    write_cohort(tmp_path, patients=1, seed=3, matrices=[32], slices=(2, 2))
    assert len(list((tmp_path / "dicom/phantom01/T2w").iterdir())) == 2


def test_draw_patient_follows_table_1():
    people = [draw_patient(number, "x", 5, [512], (8, 14)) for number in range(1, 401)]
    ages, weights = np.array([p.age for p in people]), np.array([p.weight for p in people])
    assert ages.min() >= 9 and ages.max() <= 88 and weights.min() >= 29 and weights.max() <= 120
    # four standard errors of 400 draws
    assert abs(ages.mean() - 53.0) < 4 * 16.5 / 20 and abs(weights.mean() - 74.1) < 4 * 14.6 / 20
    assert 13 < ages.std() < 19 and 11.5 < weights.std() < 17.5
    assert 0.48 < np.mean([p.sex == "F" for p in people]) < 0.68
    worn = [np.mean(p.body.degeneration[5:10]) for p in people]
    assert np.corrcoef(ages, worn)[0, 1] > 0.6


# ---- the anatomy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, 8))
def test_label_volume_has_every_class_in_every_patient(number):
    counts = np.bincount(labels_of(number).ravel(), minlength=12)
    assert len(counts) == 12
    assert (counts > 12).all(), counts


def test_label_volume_has_the_proportions_of_a_lumbar_spine():
    share = np.mean([np.bincount(labels_of(n).ravel(), minlength=12) / labels_of(n).size for n in range(1, 6)], axis=0)
    assert 0.45 < share[0] < 0.8  # belly and air
    assert share[1] > share[3] > share[4]  # bodies and arches, discs, canal
    assert 0.03 < share[11] < 0.2
    assert share[9] == min(share)


def test_label_volume_orders_structures_from_front_to_back():
    labels = labels_of(4)
    middle = labels[:, :, labels.shape[2] // 2]
    column = {
        name: np.mean(np.nonzero(middle == k)[0]) for name, k in {"fat": 8, "vert": 1, "canal": 4, "skin": 5}.items()
    }
    assert column["fat"] < column["canal"] < column["skin"]
    assert column["vert"] < column["canal"]
    # the second axis runs upwards: the sacrum lies below the vertebrae
    assert np.mean(np.nonzero(labels == 2)[1]) < np.mean(np.nonzero(labels == 1)[1])


def test_label_volume_has_vessels_and_roots_lateral_to_the_canal():
    labels = labels_of(5)
    assert (labels == 10).any()
    slices = np.arange(labels.shape[2])
    roots, canal = ((labels == k).sum((0, 1)) @ (abs(slices - slices.mean())) / (labels == k).sum() for k in (9, 4))
    assert roots > canal


def test_build_spine_lowers_degenerate_discs():
    patient, spine = made(1)
    grades = np.array([disc.degeneration for disc in spine.discs[5:9]])
    young = build_spine(replace(patient.body, degeneration=(0.0,) * 15))
    ratio = np.array([disc.height for disc in spine.discs[5:9]]) / [disc.height for disc in young.discs[5:9]]
    assert np.allclose(ratio, 1 - 0.55 * grades**1.5)
    assert (ratio < 1).all()


# ---- the signal ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TISSUES))
def test_spin_echo_is_the_signal_equation(name):
    tissue = TISSUES[name]
    plain = tissue.density * (1 - exp(-520 / tissue.t1)) * exp(-11 / tissue.t2)
    assert spin_echo(tissue, 520, 11) == pytest.approx(plain, rel=1e-12)


def test_spin_echo_has_the_right_limits():
    tissue = Tissue(1000, 100, 0.7)
    assert spin_echo(tissue, 1e6, 0) == pytest.approx(0.7)
    assert spin_echo(tissue, 0, 10) == 0
    assert spin_echo(tissue, 1e6, 100) == pytest.approx(0.7 / np.e)


def test_spin_echo_orders_tissues_as_in_real_images():
    t2w = {name: spin_echo(tissue, 3500, 100) for name, tissue in TISSUES.items()}
    t1w = {name: spin_echo(tissue, 520, 11) for name, tissue in TISSUES.items()}
    fluid = "cerebrospinal fluid"
    assert min(t2w[fluid], t2w["fat"]) > t2w["nucleus"] > t2w["degenerate nucleus"] > t2w["muscle"] > t2w["bone"]
    assert t1w["fat"] > t1w["nucleus"] > t1w[fluid] and t1w["fat"] > t1w["muscle"] > t1w[fluid] > t1w["bone"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_slice_image_has_the_contrast_of_its_tissues(number):
    patient, spine = made(number)
    stack = patient.stacks["T2w"]
    index = stack.slices // 2
    t1w = replace(patient.sequences["T1w"], spacing=patient.sequences["T2w"].spacing)
    patient = replace(patient, stacks={"T2w": stack, "T1w": stack}, sequences={**patient.sequences, "T1w": t1w})
    labels = labels_of(number)[:, ::-1, index].T
    mean = {
        contrast: [np.median(image[labels == k]) for k in (1, 4, 5)]
        for contrast, image in ((name, slice_image(patient, spine, name, index)) for name in ("T2w", "T1w"))
    }
    vert, canal, skin = range(3)
    assert mean["T2w"][canal] > 1.5 * mean["T2w"][vert]
    assert mean["T1w"][canal] < 0.8 * mean["T1w"][vert]
    assert mean["T1w"][skin] > mean["T1w"][vert]


def test_acquire_gives_rician_noise():
    random = np.random.default_rng(0)
    image = acquire(np.zeros((256, 256), np.float32), 256, 1.0, (0.0, 5.0), random)
    # Rayleigh: mean to standard deviation is sqrt(pi / (4 - pi)), whatever the apodisation took away
    assert image.mean() / image.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.03)


def test_acquire_keeps_level_and_position():
    rows, columns = np.mgrid[0:60, 0:60]
    blob = np.exp(-((rows - 20.0) ** 2 + (columns - 33.0) ** 2) / 50).astype(np.float32)
    same = acquire(blob, 60, 0.0, (0.0, 5.0), np.random.default_rng(0))
    assert np.allclose(same, blob, atol=1e-3)
    finer = acquire(blob, 150, 0.0, (0.0, 5.0), np.random.default_rng(0))
    rows, columns = np.mgrid[0:150, 0:150] * 0.4
    assert np.allclose(finer, np.exp(-((rows - 20.0) ** 2 + (columns - 33.0) ** 2) / 50), atol=2e-3)


# ---- the motion ------------------------------------------------------------------------------------------------------


def test_rotation_matrix_agrees_with_scipy():
    angles = (3.0, -1.2, 1.7)
    assert np.allclose(rotation_matrix(angles), Rotation.from_euler("xyz", angles, degrees=True).as_matrix())


@pytest.mark.parametrize("number", range(1, 6))
def test_motion_matrix_maps_t1w_points_to_the_same_anatomy_in_t2w(number):
    patient, _ = made(number)
    truth = motion_matrix(patient)
    assert abs(np.array(patient.rotation)).max() <= 4 and (abs(np.array(patient.rotation[1:])) <= 2).all()
    assert abs(np.array(patient.translation)).max() <= 4
    points = np.vstack([np.random.default_rng(number).uniform(-120, 120, (3, 20)), np.ones(20)])
    assert np.allclose(
        anatomy_from_world(patient, "T1w") @ points, anatomy_from_world(patient, "T2w") @ (truth @ points)
    )


def test_motion_matrix_aligns_the_images():
    """Resampled by the file's matrix, T1w shows the T2w scan's anatomy; unmoved or moved the wrong way it does not."""
    patient, spine = made(3, 128, (12, 12))
    # the same contrast in both positions, so that plain correlation measures the alignment
    twin = replace(patient, sequences={"T2w": patient.sequences["T1w"], "T1w": patient.sequences["T1w"]})
    site = replace(patient.site, coil_strength=0.0, saturation=None)
    stack = replace(patient.stacks["T2w"], slice_spacing=3.6, slice_thickness=3.6)
    twin = replace(twin, site=site, stacks={"T2w": stack, "T1w": stack})
    still, moved = (
        np.stack([_middle(clean_slice(twin, spine, contrast, k)[0], 128) for k in range(12)])
        for contrast in ("T2w", "T1w")
    )
    grid = make_grid(twin, "T2w").affine
    inside = (slice(3, 9), slice(20, 108), slice(20, 108))

    def correlation(t1w_to_t2w):
        # voxel of the T2w grid -> world -> world of T1w -> voxel of the T1w grid
        mapping = np.linalg.inv(grid) @ np.linalg.inv(t1w_to_t2w) @ grid
        k, row, column = np.mgrid[0:12, 0:128, 0:128]
        voxels = np.stack([column, 127 - row, k, np.ones_like(k)]).reshape(4, -1)
        column, up, k, _ = mapping @ voxels
        resampled = map_coordinates(moved, [k, 127 - up, column], order=1, mode="nearest").reshape(moved.shape)
        return np.corrcoef(resampled[inside].ravel(), still[inside].ravel())[0, 1]

    truth = motion_matrix(twin)
    assert correlation(truth) > 0.85
    assert correlation(truth) > correlation(np.eye(4)) + 0.1
    assert correlation(truth) > correlation(np.linalg.inv(truth)) + 0.1


def _middle(image, size):
    start = (image.shape[0] - size) // 2
    return image[start : start + size, start : start + size]


def test_write_truth_records_the_motion(cohort):
    for number, participant in enumerate(participant_ids(2), start=1):
        truth = json.loads((cohort / "truth" / f"{participant}_from-T1w_to-T2w.json").read_text())
        patient, _ = made(number)
        assert np.allclose(truth["matrix"], motion_matrix(patient))
        matrix = np.array(truth["matrix"])
        assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3)) and np.isclose(np.linalg.det(matrix), 1)
        turn = Rotation.from_matrix(matrix[:3, :3]).as_euler("xyz", degrees=True)
        assert np.allclose(turn, truth["rotation_degrees"]) and np.allclose(matrix[:3, 3], truth["translation_mm"])


# ---- the files -------------------------------------------------------------------------------------------------------


def test_phantom_series_convert_without_warnings(converted):
    images, said = converted
    assert len(images) == 4
    assert "warning" not in said.lower() and "error" not in said.lower(), said


@pytest.mark.parametrize("contrast", ["T2w", "T1w"])
@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_make_grid_is_the_grid_of_dcm2niix_at_every_site(site, contrast, tmp_path):
    number = SITES.index(site) + 1
    patient, spine = made(number, 48, (8, 8))
    write_series(tmp_path / "dicom", patient, spine, contrast)
    command = [
        str(Path(sys.executable).with_name("dcm2niix")),
        "-f",
        "x",
        "-z",
        "n",
        "-o",
        str(tmp_path),
        str(tmp_path),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "warning" not in said.lower(), said
    image = nibabel.load(tmp_path / "x.nii")
    assert np.allclose(image.affine, make_grid(patient, contrast).affine, atol=2e-4)


def test_draw_patient_gives_t1w_a_grid_of_its_own():
    patients = [draw_patient(number, "x", 1, [144, 160, 168], (8, 10)) for number in range(1, 25)]
    assert {patient.stacks["T1w"].mirrored for patient in patients} == {(a, b) for a in (0, 1) for b in (0, 1)}
    for patient in patients:
        t2w, t1w = (make_grid(patient, contrast) for contrast in ("T2w", "T1w"))
        assert not np.allclose(t2w.affine, t1w.affine, atol=0.01)
        assert 8 <= t1w.slices <= 10 and t1w.matrix in (144, 160, 168)
    assert np.mean([patient.sequences["T1w"].matrix != patient.sequences["T2w"].matrix for patient in patients]) > 0.3
    assert np.mean([patient.stacks["T1w"].slices != patient.stacks["T2w"].slices for patient in patients]) > 0.3


def test_write_mask_uses_the_grid_of_the_converted_t2w(cohort, converted):
    images, _ = converted
    for participant in participant_ids(2):
        image, mask = images[participant, "T2w"], nibabel.load(cohort / f"masks/{participant}_mask.nii.gz")
        assert mask.shape == image.shape and mask.get_data_dtype() == np.uint8
        assert np.allclose(mask.affine, image.affine, atol=2e-4)
        assert aff2axcodes(image.affine) == ("P", "S", "R")


def test_write_mask_agrees_with_the_image_voxel_by_voxel(cohort, converted):
    """The mask explains most of the image's variance where it lies, less mirrored or a voxel off."""
    images, _ = converted
    for participant in participant_ids(2):
        image = images[participant, "T2w"].get_fdata()
        mask = np.asarray(nibabel.load(cohort / f"masks/{participant}_mask.nii.gz").dataobj)

        def explained(labels, image=image):
            counts = np.bincount(labels.ravel())
            means = np.bincount(labels.ravel(), image.ravel()) / np.maximum(counts, 1)
            return (counts * (means - image.mean()) ** 2).sum() / (image.size * image.var())

        here = explained(mask)
        mirrored = [explained(np.flip(mask, axes)) for axes in (0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2))]
        shifted = [explained(np.roll(mask, step, axis)) for axis in (0, 1, 2) for step in (-1, 1)]
        assert here > max(mirrored) and here > max(shifted)


def test_dicom_slice_has_valid_and_complete_headers(cohort):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = headers(cohort / "dicom" / "phantom01")
    assert len(found) == 16
    assert len({item.SOPInstanceUID for item in found}) == 16
    assert len({item.SeriesInstanceUID for item in found}) == 2 and len({item.StudyInstanceUID for item in found}) == 1
    for item in found:
        assert item.SOPClassUID == item.file_meta.MediaStorageSOPClassUID == pydicom.uid.MRImageStorage
        assert item.pixel_array.dtype == np.uint16 and item.pixel_array.max() < 4096
        for tag in ("PatientName", "PatientID", "PatientBirthDate", "InstitutionName", "AccessionNumber", "StudyDate"):
            assert str(item[tag].value)
        assert item.InstitutionName == SITES[0].institution


TABLE_2 = {  # T1w, T2w
    "RepetitionTime": ((300.0, 764.38), (2000.0, 10172.214)),
    "EchoTime": ((6.824, 17.424), (84.544, 145.0)),
    "SpacingBetweenSlices": ((3.6, 6.0), (3.6, 6.0)),
    "ImagingFrequency": ((42.568, 127.745), (42.568, 127.745)),
    "EchoTrainLength": ((2, 10), (13, 36)),
    "FlipAngle": ((80, 160), (90, 170)),
    "Rows": ((320, 800), (320, 1024)),
    "Columns": ((320, 800), (320, 1024)),
    "PixelSpacing": ((0.4688, 1.0), (0.3704, 1.0)),
    "EchoNumbers": ((0, 1), (0, 1)),
}


def test_dicom_slice_lies_within_table_2():
    blank = np.zeros((1, 1), np.uint16)
    for number in range(1, 61):
        patient = draw_patient(number, "x", 2, [320, 384, 448, 512, 640, 800, 1024], (8, 14))
        assert all(8 <= stack.slices <= 14 for stack in patient.stacks.values())
        for which, contrast in enumerate(("T1w", "T2w")):
            header = dicom_slice(patient, contrast, 0, blank)
            assert header.MagneticFieldStrength == 1.5
            for tag, limits in TABLE_2.items():
                values = np.atleast_1d(np.array(header[tag].value, dtype=float))
                low, high = limits[which]
                assert (low <= values).all() and (values <= high).all(), (number, contrast, tag, values)


def test_draw_patient_keeps_the_field_of_view_of_small_matrices():
    for number in range(1, 11):
        for matrix in (128, 192, 320, 512):
            sequence = draw_patient(number, "x", 1, [matrix], (8, 8)).sequences["T2w"]
            assert 239 < sequence.matrix * sequence.spacing < 341
