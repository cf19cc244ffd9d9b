"""Pairs of images with known motions, and an FSL whose FLIRT is a script."""

import stat

import numpy as np
from scipy.spatial.transform import Rotation

from lumbarseg.geometry import volume

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
