"""Registration: known motions, conventions of matrices, and detection of failures."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fsl.utils.platform import platform as fsl_platform
from scipy.spatial.transform import Rotation
from sklearn.metrics import mutual_info_score

from factories.registration import PIXEL, SLICE, fake_fsl, image_of, motion, target_registration_error
from lumbarseg.config.image_sections import Registration
from lumbarseg.errors import InputError
from lumbarseg.geometry import codes_of, load_image, volume
from lumbarseg.imaging.registration.session import register
from lumbarseg.imaging.registration.similarity import describe_uncovered, mutual_information, uncovered_mm
from lumbarseg.imaging.registration.transforms import from_flirt, resample, shift_and_rotation, to_flirt

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("degrees", "mm"),
    [((4, -3, 2), (3, -4, 5)), ((-5, 5, -5), (-5, 5, -5)), ((0, 0, 0), (0, 0, 0)), ((8, 2, -3), (2, 12, -6))],
)
def test_register_finds_known_rigid_motions_to_a_third_of_a_pixel(session, degrees, mm):
    truth = motion(degrees, mm)
    found, report = session.run(image_of(0), image_of(1, displaced=truth, seed=1))
    assert target_registration_error(found, truth) < PIXEL / 3
    assert not report["fell_back_to_header"]
    assert report["reason"] is None
    assert report["rotation_degrees"] == pytest.approx(
        np.degrees(Rotation.from_euler("xyz", degrees, True).magnitude()), abs=0.4
    )
    assert report["shift_mm"] == pytest.approx([-part for part in mm], abs=0.8)
    assert report["unusual"] == (report["shift_length_mm"] > 5 or report["rotation_degrees"] > 5)
    assert report["after"]["mutual_information"] >= report["before"]["mutual_information"]


def test_register_writes_the_image_on_the_fixed_grid(session):
    fixed = image_of(0, size=96)
    fixed = volume(np.asanyarray(fixed.dataobj), fixed.affine, (2, 1))
    session.run(fixed, image_of(1, displaced=motion((3, 1, -2), (1, -4, 3)), seed=1))
    registered = nib.load(session.registered)
    assert registered.shape == fixed.shape
    assert registered.get_data_dtype() == np.float32
    assert codes_of(registered) == (2, 1)
    np.testing.assert_allclose(registered.affine, fixed.affine, atol=1e-5)
    there = np.asanyarray(image_of(1, size=96, seed=2).dataobj)[:, :, 1:-1]
    assert np.corrcoef(there.ravel(), registered.get_fdata()[:, :, 1:-1].ravel())[0, 1] > 0.97


@pytest.mark.parametrize("mm", [(0, 400, 0), (-500, 0, 0), (0, 0, 300)])
def test_register_uses_a_long_move_where_the_headers_do_not_overlap(session, caplog, mm):
    truth = motion((2, 1, -1), (1, -2, 1))
    moving = image_of(1, displaced=truth, seed=1)
    away = motion((0, 0, 0), mm)
    with caplog.at_level("WARNING", "lumbarseg"):
        found, report = session.run(image_of(0), volume(np.asanyarray(moving.dataobj), away @ moving.affine))
    assert target_registration_error(found, away @ truth) < PIXEL / 3
    assert not report["fell_back_to_header"]
    assert report["unusual"]
    assert report["before"] == {"mutual_information": 0.0, "correlation": 0.0, "overlap": 0.0}
    assert report["after"]["mutual_information"] > 0.3
    assert report["overlap"] == report["after"]["overlap"] > 0.8
    assert "because they do not overlap by their headers; check the registration" in caplog.text


@pytest.mark.parametrize("mm", [(0, 0, 60), (0, 30, 0), (25, 0, 0), (0, -20, -40)])
def test_register_follows_a_moved_table_and_flags_it(session, mm):
    moving = image_of(1, seed=1)
    away = motion((0, 0, 0), mm)
    found, report = session.run(image_of(0), volume(np.asanyarray(moving.dataobj), away @ moving.affine))
    assert target_registration_error(found, away) < PIXEL / 3
    assert not report["fell_back_to_header"]
    assert report["unusual"]
    assert report["overlap"] > 0.95


def test_register_stops_without_overlap_either_way(session, tmp_path, monkeypatch):
    moving = image_of(1, size=60, seed=1)
    away = motion((0, 0, 0), (0, 400, 0)) @ moving.affine
    nothing = 'printf "1 0 0 0\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, nothing.replace("0 0 0\\n", "0 0 900\\n", 1))))
    with pytest.raises(
        InputError, match=r"t1w\.nii\.gz: no overlap with .*t2w\.nii\.gz, neither by the headers nor once"
    ):
        session.run(image_of(0, size=60), volume(np.asanyarray(moving.dataobj), away), engine="flirt")
    assert not session.registered.exists()


def test_register_is_reproducible_to_the_byte(session):
    moving = image_of(1, size=80, displaced=motion((2, 0, 1), (1, 2, -3)), seed=1)
    results = []
    for _ in range(2):
        session.run(image_of(0, size=80), moving)
        results.append((session.registered.read_bytes(), session.matrix.read_bytes()))
    assert results[0] == results[1]


def test_register_finds_a_stretch_with_twelve_degrees_of_freedom(session):
    stretched = motion((2, -1, 1), (1, -3, 2)) @ np.diag([1, 1.04, 0.97, 1])
    found, report = session.run(image_of(0), image_of(1, displaced=stretched, seed=1), degrees_of_freedom=12)
    assert target_registration_error(found, stretched) < PIXEL / 2
    assert report["degrees_of_freedom"] == 12


@pytest.mark.parametrize(
    ("degrees", "mm", "limits"),
    [((0, 0, 0), (0, 6, 0), {"max_shift_mm": 4.0}), ((6, 0, 0), (0, 0, 0), {"max_rotation_deg": 3.0})],
)
def test_register_uses_and_flags_motions_beyond_the_limits_with_good_evidence(session, degrees, mm, limits):
    truth = motion(degrees, mm)
    moving = image_of(1, size=80, displaced=truth, seed=1)
    found, report = session.run(image_of(0, size=80), moving, unusual_shift_mm=30, unusual_rotation_deg=30, **limits)
    assert target_registration_error(found, truth) < PIXEL / 2
    assert not report["fell_back_to_header"]
    assert report["unusual"]


@pytest.mark.parametrize("size", [50, 80])
def test_register_reports_what_t1w_does_not_cover(session, size):
    """T1w of half the slices: its left half is missing."""
    whole = image_of(1, size=size, seed=1)
    fixed = image_of(0, size=size)
    voxels = np.asanyarray(whole.dataobj)[:, :, :5]
    _, report = session.run(fixed, volume(voxels, whole.affine))
    assert report["overlap"] == pytest.approx(5 / 11, abs=0.05)
    sides = dict.fromkeys(("right", "left", "superior", "inferior", "anterior", "posterior"), 0)
    side = "right" if whole.affine[0, 2] > 0 else "left"
    assert report["uncovered_mm"] == pytest.approx(sides | {side: 6 * SLICE}, abs=2)
    assert report["remarks"] == [f"T1w covers {100 * report['overlap']:.0f} % of T2w (not covered: {side} 26 mm)"]
    _, report = session.run(fixed, whole, unusual_overlap=0.9)
    assert report["remarks"] == []


@pytest.mark.parametrize("right_handed", [False, True])
def test_uncovered_mm_names_the_sides_of_the_patient(right_handed):
    fixed = image_of(0, size=40, slices=10, right_handed=right_handed)
    world = np.stack(np.indices(fixed.shape), -1) @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
    right, anterior, superior = np.moveaxis(world, -1, 0)
    covered = (right < 10) & (anterior > -20) & (superior < 12)
    found = uncovered_mm(covered, fixed.affine)
    assert found == {
        "right": pytest.approx(3 * SLICE), "left": 0, "superior": pytest.approx(12 * PIXEL), "inferior": 0,
        "anterior": 0, "posterior": pytest.approx(7 * PIXEL),
    }  # fmt: skip
    assert describe_uncovered({"right": 0.0, "left": 12.4, "inferior": 60.0}) == "left 12 mm, inferior 60 mm"
    nothing = uncovered_mm(np.zeros(fixed.shape, bool), fixed.affine)
    assert nothing["right"] == nothing["left"] == pytest.approx(10 * SLICE)


@pytest.mark.parametrize("engine", ["itk", "flirt"])
@pytest.mark.parametrize("value", [0, 700])
@pytest.mark.parametrize("blank", ["t2w", "t1w"])
def test_register_rejects_an_image_without_contrast(session, tmp_path, monkeypatch, engine, value, blank):
    answer = 'printf "1 0 0 0\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, answer)))
    images = {"t2w": image_of(0, size=30), "t1w": image_of(1, size=30)}
    voxels = np.full(images[blank].shape, value, "int16")
    voxels[0, 0, 0] = 900  # a single bright voxel is no contrast
    images[blank] = volume(voxels, images[blank].affine)
    with pytest.raises(InputError, match=rf"{blank}\.nii\.gz: nearly all voxels have the same value"):
        session.run(*images.values(), engine=engine)


def test_register_names_the_users_images_in_messages(session, caplog):
    names = ("dicom/T2", "dicom/T1")
    moving = image_of(1, displaced=motion((2, 1, -1), (1, -2, 1)), seed=1)
    nib.save(image_of(0), session.fixed)
    paths, settings = (session.registered, session.matrix, session.report), Registration(engine="itk")
    nib.save(volume(np.asanyarray(moving.dataobj), motion((0, 0, 0), (0, 400, 0)) @ moving.affine), session.moving)
    with caplog.at_level("WARNING", "lumbarseg"):
        register(session.fixed, session.moving, *paths, settings, names)
    assert caplog.messages[0].startswith("dicom/T1: moved by ")
    assert " onto dicom/T2, because " in caplog.text
    assert str(session.fixed.parent) not in caplog.text
    nib.save(volume(np.zeros(moving.shape, "int16"), moving.affine), session.moving)
    with pytest.raises(InputError, match=r"^dicom/T1: nearly all voxels have the same value"):
        register(session.fixed, session.moving, *paths, settings, names)


@pytest.mark.parametrize("fixed_is_right_handed", [False, True])
@pytest.mark.parametrize("moving_is_right_handed", [False, True])
def test_to_flirt_maps_corner_voxels_like_the_affine(fixed_is_right_handed, moving_is_right_handed):
    fixed = image_of(0, size=40, slices=7, right_handed=fixed_is_right_handed)
    moving = image_of(1, size=50, slices=9, right_handed=moving_is_right_handed)
    fixed_to_moving = motion((5, -10, 3), (4, -7, 9))
    matrix = to_flirt(fixed_to_moving, fixed, moving)

    def scaled(index, image):
        """FLIRT's coordinates: voxels times their size, x counted from the other end where the determinant is positive."""
        index = np.array(index, dtype=float)
        if np.linalg.det(image.affine) > 0:
            index[0] = image.shape[0] - 1 - index[0]
        return [*(index * image.header.get_zooms()), 1]

    for corner in ((0, 0, 0), (49, 0, 8), (49, 49, 0)):
        in_fixed = matrix @ scaled(corner, moving)
        index = in_fixed[:3] / fixed.header.get_zooms()
        if np.linalg.det(fixed.affine) > 0:
            index[0] = fixed.shape[0] - 1 - index[0]
        world = fixed.affine @ [*index, 1]
        np.testing.assert_allclose(fixed_to_moving @ world, moving.affine @ [*corner, 1], atol=1e-4)
    np.testing.assert_allclose(from_flirt(matrix, fixed, moving), fixed_to_moving, atol=1e-6)


@pytest.mark.parametrize("right_handed", [False, True])
def test_resample_takes_values_from_where_the_affine_says(right_handed):
    fixed, moving = image_of(0, size=30, slices=6), image_of(1, size=40, slices=6, right_handed=right_handed)
    shift = motion((0, 0, 0), (SLICE, 2 * PIXEL, -3 * PIXEL))
    resampled = resample(fixed, moving, shift)
    for index in ((10, 12, 2), (20, 9, 3), (5, 25, 1)):
        source = np.linalg.inv(moving.affine) @ shift @ fixed.affine @ [*index, 1]
        source = tuple(np.rint(source[:3]).astype(int))
        assert resampled[index] == pytest.approx(np.asanyarray(moving.dataobj)[source], abs=0.05)
    assert resampled.dtype == np.float32
    assert resample(fixed, moving, motion((0, 0, 0), (500, 0, 0))).max() == 0


def test_shift_and_rotation_are_measured_at_the_centre_of_the_fixed_image():
    fixed = image_of(0, size=40)
    shift, rotation = shift_and_rotation(fixed, motion((0, 0, 7), (0, 0, 0)))  # the world's origin is the centre here
    np.testing.assert_allclose(shift, 0, atol=1e-6)
    assert rotation == pytest.approx(7)
    shift, rotation = shift_and_rotation(fixed, np.diag([1, 1.1, 1, 1]) @ motion((0, 0, 0), (1, 2, 3)))
    assert rotation == pytest.approx(0, abs=1e-5)


def test_mutual_information_agrees_with_an_independent_implementation():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 32, 5000).astype("float32")
    second = (first * 3 + rng.integers(0, 20, 5000)) % 31
    # whole numbers 0 … 31 fall into 32 bins as they are, once the outermost half per cent is cut to them
    low, high = np.percentile(first, [0.5, 99.5])
    assert (low, high) == (0, 31)
    edges = [np.clip((values * 32 / np.percentile(values, 99.5)).astype(int), 0, 31) for values in (first, second)]
    assert mutual_information(first, second) == pytest.approx(mutual_info_score(*edges), abs=1e-9)
    assert mutual_information(first, rng.permutation(first)) < 0.2 < mutual_information(first, first)


def test_register_reports_corner_displacement_and_overlap(session):
    fixed = image_of(0, size=80)
    moved = motion((0, 0, 4), (0, 8, 0))
    found, report = session.run(fixed, image_of(1, size=80, displaced=moved, seed=1))
    corners = [fixed.affine @ [i, j, k, 1] for i in (0, 79) for j in (0, 79) for k in (0, 10)]
    farthest = max(np.linalg.norm((found @ corner - corner)[:3]) for corner in corners)
    assert report["corner_displacement_mm"] == pytest.approx(farthest, abs=0.01)
    assert report["before"]["overlap"] == 1
    assert 0.8 < report["after"]["overlap"] < 0.97


def test_register_moves_a_real_pair_by_less_than_two_millimetres(session, shared_data):
    pair = [load_image(shared_data / "lumbar_pair" / f"{name}.nii.gz") for name in ("t2", "t1")]
    _, report = session.run(*[one.slicer[::3, ::3] for one in pair])
    assert not report["unusual"]
    assert report["shift_length_mm"] < 2
    assert report["after"]["mutual_information"] > report["before"]["mutual_information"]
