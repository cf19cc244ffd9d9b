"""Registration: known motions, FLIRT's conventions, and detection of failures."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fsl.utils.platform import platform as fsl_platform
from fsl.wrappers import flirt
from scipy.spatial.transform import Rotation
from sklearn.metrics import mutual_info_score

from lumbarseg.config.image_sections import Registration
from lumbarseg.errors import InputError
from lumbarseg.geometry import codes_of, load_image, volume
from lumbarseg.imaging.registration.flirt import flirt_arguments
from lumbarseg.imaging.registration.session import register
from lumbarseg.imaging.registration.similarity import describe_uncovered, mutual_information, uncovered_mm
from lumbarseg.imaging.registration.transforms import from_flirt, resample, shift_and_rotation, to_flirt

ROOT = Path(__file__).parents[3]
PIXEL, SLICE = 1.5, 4.4
# vertebrae, discs, canal, fat, vessel: centre and half axes in mm (R, A, S), signal in T2w and in T1w
SHAPES = [
    ((0, -10, 0), (45, 80, 110), 0.35, 0.30),
    *[((0, 25 - abs(z) / 9, z), (24, 17, 12), 0.55, 0.70) for z in range(-68, 69, 34)],
    *[((0, 25 - abs(z) / 9, z), (22, 17, 4), 0.80, 0.35) for z in range(-51, 52, 34)],
    ((0, -2, 0), (9, 7, 100), 0.95, 0.15),
    ((0, -18, 20), (11, 6, 40), 0.75, 0.95),
    ((6, 50, 10), (8, 7, 90), 0.05, 0.10),
    ((-20, -45, -30), (15, 20, 50), 0.25, 0.42),
]


def signal(points, contrast):
    """Return the signal at (…, 3) points in mm, with soft edges."""
    value = np.zeros(points.shape[:-1])
    for centre, half, *levels in SHAPES:
        distance = np.sqrt((((points - centre) / half) ** 2).sum(-1))
        inside = np.clip((1 - distance) * min(half[1:]) / PIXEL + 0.5, 0, 1)
        value += inside * (levels[contrast] - value)
    return value


def image_of(contrast, size=120, slices=11, right_handed=False, displaced=None, seed=0):
    """Return a sagittal volume; `displaced` maps points of the anatomy to their position in this image."""
    affine = np.array([[0, 0, SLICE, 0], [-PIXEL, 0, 0, 0], [0, PIXEL, 0, 0], [0, 0, 0, 1.0]])
    affine[0, 2] *= np.sign(np.linalg.det(affine)) * (1 if right_handed else -1)
    affine[:3, 3] = -affine[:3, :3] @ (np.array([size, size, slices]) - 1) / 2
    world = np.stack(np.indices((size, size, slices)), -1) @ affine[:3, :3].T + affine[:3, 3]
    if displaced is not None:
        back = np.linalg.inv(displaced)
        world = world @ back[:3, :3].T + back[:3, 3]
    noise = np.random.default_rng(seed).normal(scale=0.02, size=world.shape[:3])
    return volume(np.rint(1000 * np.abs(signal(world, contrast) + noise)).astype("int16"), affine)


def motion(degrees, mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = mm
    return matrix


def target_registration_error(found, truth):
    """Return the mean distance in mm between the images of points around the vertebrae under two affines."""
    points = np.random.default_rng(5).uniform((-25, -20, -80), (25, 45, 80), size=(500, 3))
    both = [points @ one[:3, :3].T + one[:3, 3] for one in (found, truth)]
    return np.linalg.norm(both[0] - both[1], axis=1).mean()


@pytest.fixture
def session(tmp_path):
    """Paths of one session, and a run of `register` on them that returns the affine found and the report."""

    class Session:
        fixed, moving = tmp_path / "t2w.nii.gz", tmp_path / "t1w.nii.gz"
        registered, matrix, report = (
            tmp_path / "out" / "t1w.nii.gz",
            tmp_path / "out" / "t1w.mat",
            tmp_path / "out" / "t1w.json",
        )

        def run(self, fixed, moving, engine="itk", **settings):
            nib.save(fixed, self.fixed)
            nib.save(moving, self.moving)
            registration = Registration.model_validate({"engine": engine, **settings})
            register(self.fixed, self.moving, self.registered, self.matrix, self.report, registration)
            found = from_flirt(np.loadtxt(self.matrix), load_image(self.fixed), load_image(self.moving))
            return found, json.loads(self.report.read_text())

    return Session()


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
    assert "because they do not overlap by their headers; check it" in caplog.text


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


# ---- FLIRT ----------------------------------------------------------------------------------------------------------


def test_flirt_arguments_are_those_that_work_on_thick_slices(session, tmp_path, monkeypatch):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, "exit 1")))
    nib.save(image_of(0, size=30), session.fixed)
    nib.save(image_of(1, size=30), session.moving)
    command = flirt(str(session.moving), str(session.fixed), omat="6.mat", cmdonly=True, **flirt_arguments(6))
    text = " ".join(command)
    for part in ("-dof 6", "-cost mutualinfo", "-searchcost mutualinfo", "-nosearch", "-usesqform", "-omat 6.mat"):
        assert part in text
    assert f"-in {session.moving} -ref {session.fixed}" in text


def fake_fsl(folder, script):
    """An FSL whose flirt is a shell script: its arguments are noted in `asked`, then `script` runs with $omat set."""
    binary = folder / "fsl" / "bin" / "flirt"
    binary.parent.mkdir(parents=True)
    (folder / "fsl" / "etc").mkdir()
    (folder / "fsl" / "etc" / "fslversion").write_text("6.0.7\n")
    binary.write_text(
        f'#!/bin/sh\necho "$FSLOUTPUTTYPE $@" >> {folder}/asked\n'
        'while [ $# -gt 0 ]; do [ "$1" = -omat ] && omat="$2"; shift; done\n' + script + "\n"
    )
    binary.chmod(binary.stat().st_mode | stat.S_IEXEC)
    return folder / "fsl"


@pytest.mark.parametrize("degrees_of_freedom", [6, 12])
def test_register_applies_the_matrix_of_flirt(session, tmp_path, monkeypatch, degrees_of_freedom):
    truth = motion((2, -1, 1), (1, -3, 4))
    fixed, moving = image_of(0, size=80), image_of(1, size=80, displaced=truth, seed=1)
    np.savetxt(tmp_path / "answer", to_flirt(truth, fixed, moving), fmt="%.10f")
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, f'cp {tmp_path}/answer "$omat"')))
    found, report = session.run(fixed, moving, engine="flirt", degrees_of_freedom=degrees_of_freedom)
    np.testing.assert_allclose(found, truth, atol=1e-4)
    assert (report["engine"], report["version"]) == ("flirt", "FSL 6.0.7")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith("NIFTI_GZ ")
    assert "-dof 6 " in asked[0]
    if degrees_of_freedom == 12:  # only from its own rigid result
        assert "-dof 12 " in asked[1]
        assert f"-init {asked[0].split('-omat ')[1].split()[0]}" in asked[1]
    else:
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("shift", "reason"), [(75, "mm, more than 20 mm"), (12, "mutual information lower than with the header geometry")]
)
def test_register_rejects_implausible_answers_of_flirt(session, tmp_path, monkeypatch, shift, reason):
    answer = f'printf "1 0 0 {shift}\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, answer)))
    found, report = session.run(image_of(0, size=80), image_of(1, size=80, seed=1), engine="flirt")
    assert report["fell_back_to_header"]
    assert reason in report["reason"]
    assert report["shift_length_mm"] == pytest.approx(shift, abs=0.1)
    np.testing.assert_allclose(found, np.eye(4), atol=1e-6)


def test_register_passes_cost_and_search_to_flirt(session, tmp_path, monkeypatch):
    fixed, moving = image_of(0, size=60), image_of(1, size=60, seed=1)
    np.savetxt(tmp_path / "answer", to_flirt(motion((0, 0, 0), (0, 0, 1)), fixed, moving), fmt="%.10f")
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, f'cp {tmp_path}/answer "$omat"')))
    settings = {"cost": "normmi", "search_deg": 20}
    session.run(fixed, moving, engine="flirt", degrees_of_freedom=12, flirt=settings)
    rigid, affine = (tmp_path / "asked").read_text().splitlines()
    for axis in "xyz":
        assert f"-searchr{axis} -20.0 20.0" in rigid
    assert "-nosearch" not in rigid
    assert "-nosearch" in affine  # started from the rigid result, it has nothing to search
    assert "-cost normmi -searchcost normmi" in rigid
    assert "-cost normmi" in affine


def test_register_reports_corner_displacement_and_overlap(session):
    fixed = image_of(0, size=80)
    moved = motion((0, 0, 4), (0, 8, 0))
    found, report = session.run(fixed, image_of(1, size=80, displaced=moved, seed=1))
    corners = [fixed.affine @ [i, j, k, 1] for i in (0, 79) for j in (0, 79) for k in (0, 10)]
    farthest = max(np.linalg.norm((found @ corner - corner)[:3]) for corner in corners)
    assert report["corner_displacement_mm"] == pytest.approx(farthest, abs=0.01)
    assert report["before"]["overlap"] == 1
    assert 0.8 < report["after"]["overlap"] < 0.97


def test_register_warns_when_it_falls_back_to_the_header(session, tmp_path, monkeypatch, caplog):
    answer = 'printf "1 0 0 6\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, answer)))
    with caplog.at_level("WARNING", "lumbarseg"):
        session.run(image_of(0, size=80), image_of(1, size=80, seed=1), max_shift_mm=4.0, engine="flirt")
    assert "t1w.nii.gz: registration to " in caplog.text
    assert "rejected (shift of 6.0 mm, more than 4 mm; mutual information lower" in caplog.text


@pytest.mark.parametrize("folder", [None, "elsewhere"])
def test_register_reports_a_missing_fsl_in_one_sentence(session, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("FSLDIR", raising=False)
    if folder:
        monkeypatch.setenv("FSLDIR", str(tmp_path / folder))
    there = re.escape(str(tmp_path / folder)) if folder else r"\$FSLDIR"
    with pytest.raises(
        InputError,
        match=rf"flirt needs FSL, but there is no {there}/bin/flirt and no flirt in PATH; install FSL .*`engine: itk`",
    ):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


IDENTITY = 'printf "1 0 0 0\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'


@pytest.mark.parametrize("fsldir", [None, "/nowhere"])
@pytest.mark.parametrize("linked", [False, True])
def test_register_uses_a_flirt_that_is_in_path_alone(session, tmp_path, monkeypatch, fsldir, linked):
    folder = fake_fsl(tmp_path, f'echo "$FSLDIR" > {tmp_path}/folder\n{IDENTITY}') / "bin"
    if linked:  # as a module that links programs into one folder
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools/flirt").symlink_to(folder / "flirt")
        folder = tmp_path / "tools"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("FSLDIR", raising=False)
    if fsldir:
        monkeypatch.setenv("FSLDIR", fsldir)
    _, report = session.run(image_of(0, size=40), image_of(1, size=40, seed=1), engine="flirt")
    assert report["version"] == "FSL 6.0.7"
    assert (tmp_path / "folder").read_text().strip() == str(tmp_path / "fsl")


def test_register_names_no_version_where_fsl_has_none(session, tmp_path, monkeypatch):
    folder = fake_fsl(tmp_path, IDENTITY)
    (folder / "etc/fslversion").unlink()
    monkeypatch.setattr(fsl_platform, "fsldir", str(folder))
    _, report = session.run(image_of(0, size=40), image_of(1, size=40, seed=1), engine="flirt")
    assert report["version"] == "FSL of unknown version"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("true", "wrote no matrix"),
        (': > "$omat"', "wrote an empty matrix"),
        ('printf "1 0 0 0\\n0 1 0" > "$omat"', "wrote an incomplete matrix"),
        ('printf "1 0 0 0\\n0 1 0 0\\n" > "$omat"', "wrote a matrix of 2 × 4 numbers"),
        ('printf "1 0 0 0\\n0 1 0 0\\n0 0 1 0\\n0 0 0\\n" > "$omat"', "wrote an incomplete matrix"),
        ('printf "1 0 0\\n0 1 0\\n0 0 1\\n" > "$omat"', "wrote a matrix of 3 × 3 numbers"),
        ('printf "1 0 0 0\\n0 1 0 0\\n0 0 nan 0\\n0 0 0 1\\n" > "$omat"', "values that are not finite"),
        ('printf "1 0 0 inf\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"', "values that are not finite"),
        ('printf "1 0 0 0\\n0 1 0 0\\n0 0 0 0\\n0 0 0 1\\n" > "$omat"', "singular or no motion"),
        ('printf "0 0 0 0\\n0 0 0 0\\n0 0 0 0\\n0 0 0 0\\n" > "$omat"', "without 0 0 0 1 in its last row"),
        ('printf "\\377\\376\\000garbage" > "$omat"', "wrote an incomplete matrix"),
    ],
)
@pytest.mark.parametrize("degrees_of_freedom", [6, 12])
def test_register_refuses_a_broken_matrix_of_flirt(session, tmp_path, monkeypatch, script, problem, degrees_of_freedom):
    if degrees_of_freedom == 12:  # the second matrix is the broken one
        script = f'if grep -q "dof 12" {tmp_path}/asked; then {script}; else {IDENTITY}; fi'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, script)))
    with pytest.raises(
        InputError, match=rf"t1w\.nii\.gz: FLIRT .*{problem}.*though it reported no error; free space in"
    ):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt", degrees_of_freedom=degrees_of_freedom)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -KILL $$", r"killed by SIGKILL \(exit code -9\).*too little memory: give the job more"),
        ("exit 137", r"killed by SIGKILL \(exit code 137\).*too little memory"),
        ("kill -TERM $$", r"killed by SIGTERM \(exit code -15\).*time limit"),
        ("exit 143", r"killed by SIGTERM \(exit code 143\).*time limit"),
        ("kill -SEGV $$", r"killed by SIGSEGV \(exit code -11\).*-version` works on this machine"),
        (
            "echo 'error while loading shared libraries' >&2; exit 127",
            r"exit code 127: error while loading.*-version` works",
        ),
        ("exit 3", r"\(exit code 3\); check that both images open in FSLeyes"),
    ],
)
def test_register_reports_how_flirt_ended(session, tmp_path, monkeypatch, script, reason):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, script)))
    with pytest.raises(InputError, match=rf"t1w\.nii\.gz: FLIRT .*{reason}"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


def test_register_reports_a_flirt_that_cannot_be_started(session, tmp_path, monkeypatch):
    folder = fake_fsl(tmp_path, "true")
    (folder / "bin/flirt").write_bytes(b"\x7fELF of another machine")
    monkeypatch.setattr(fsl_platform, "fsldir", str(folder))
    with pytest.raises(InputError, match=r"fsl/bin/flirt: cannot be started \(Exec format error\); install FSL again"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


def test_register_accepts_messages_of_flirt_in_any_encoding(session, tmp_path, monkeypatch):
    noise = 'printf "Aviso: volum\\351n \\377\\n" >&2'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, f"{noise}\n{IDENTITY}")))
    _, report = session.run(image_of(0, size=40), image_of(1, size=40, seed=1), engine="flirt")
    assert report["engine"] == "flirt"


def test_register_quotes_messages_of_flirt_in_any_encoding(session, tmp_path, monkeypatch):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, 'printf "volum\\351n" >&2; exit 1')))
    with pytest.raises(InputError, match="exit code 1: volum\ufffdn"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


@pytest.mark.parametrize("script", ["exec sleep 60", "sleep 60", "trap '' TERM; sleep 60 & wait; sleep 60"])
def test_register_ends_flirt_with_its_job(session, tmp_path, script):
    """SIGTERM to the job, as at SLURM's time limit, leaves no FLIRT behind, nor what a shell script has started."""
    folder = fake_fsl(tmp_path, f"echo $$ > {tmp_path}/started\n{script}")
    nib.save(image_of(0, size=30), session.fixed)
    nib.save(image_of(1, size=30), session.moving)
    code = (
        "import sys; from pathlib import Path; from lumbarseg.workflow.joblog import job\n"
        "from lumbarseg.config.image_sections import Registration\n"
        "from lumbarseg.imaging.registration.session import register\n"
        "with job(sys.argv[1]): register(*sys.argv[2:7], Registration(engine='flirt'))"
    )
    paths = [session.fixed, session.moving, session.registered, session.matrix, session.report]
    environment = os.environ | {"FSLDIR": str(folder), "PYTHONPATH": str(ROOT / "workflow_scripts")}
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "log", *paths], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not ((tmp_path / "started").exists() and (tmp_path / "started").read_text().strip()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        group = int((tmp_path / "started").read_text())
        process.terminate()
        assert process.wait(20) == 143
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 3
    while _alive(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(group)


def _alive(group):
    """Return whether any process of a group still runs; those that only wait to be collected do not count."""
    states = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = file.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        states += [state] if int(of_group) == group else []
    return any(state != "Z" for state in states)


def test_register_quotes_the_error_of_flirt(session, tmp_path, monkeypatch):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, 'echo "Could not open volume" >&2; exit 1')))
    with pytest.raises(InputError, match=r"FLIRT could not register .*\(exit code 1: Could not open volume\)"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


def test_register_moves_a_real_pair_by_less_than_two_millimetres(session, shared_data):
    pair = [load_image(shared_data / "lumbar_pair" / f"{name}.nii.gz") for name in ("t2", "t1")]
    _, report = session.run(*[one.slicer[::3, ::3] for one in pair])
    assert not report["unusual"]
    assert report["shift_length_mm"] < 2
    assert report["after"]["mutual_information"] > report["before"]["mutual_information"]
