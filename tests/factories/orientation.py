"""Affines of images stored in any of the 48 orders and directions of axes."""

import itertools

import numpy as np
from scipy.spatial.transform import Rotation

ORIENTATIONS = [
    "".join(letters) for axes in itertools.permutations(["LR", "PA", "IS"]) for letters in itertools.product(*axes)
]
SIZE = {"L": 3, "R": 3, "P": 4, "A": 4, "I": 5, "S": 5}
"""Voxels along each axis of a small test image."""

MM = {"L": 4.4, "R": 4.4, "P": 0.7, "A": 0.7, "I": 0.6, "S": 0.6}
"""Voxel size along each axis, mm."""


def affine_of(codes, tilt=0.0, mm=MM):
    """Return an affine whose axes run towards `codes`, tilted by `tilt` degrees about each world axis."""
    matrix = np.zeros((3, 3))
    for axis, code in enumerate(codes):
        world = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}[code]
        matrix[world, axis] = mm[code] * (1 if code in "RAS" else -1)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [tilt] * 3, degrees=True).as_matrix() @ matrix
    affine[:3, 3] = [7.0, -11.0, 23.0]
    return affine
