"""Phantoms to train on: slices as weights of tissues, of which images of any contrast are made while training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbarseg.data.storage import open_array, write_array
from lumbarseg.errors import InputError
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.section import structure_section, weight_section
from lumbarseg.phantom.series import rotation_matrix
from lumbarseg.phantom.signal import TISSUES
from lumbarseg.phantom.soft_tissue import CLASSES
from lumbarseg.phantom.spine import Body, build_spine

WEIGHT_STEP = np.float32(1 / 160)
"""Weights are stored as whole multiples of this, 0 … 255."""

STORED_PIXEL_MM = 0.8
STORED_SIDE = 352
"""Pixel size (mm), rows and columns of stored slices: a field of view of 280 mm."""

TEST_PIXEL_MM = 0.6
TEST_SIDE = 448
"""The same for phantoms to test networks on."""


def phantom_slices(
    number: int, seed: int, *, slices: int, side: int = STORED_SIDE, pixel: float = STORED_PIXEL_MM
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make sagittal slices of one phantom patient, at random places, angles and thicknesses.

    Args:
        number: of the patient, from 1.
        seed: of the training set; a patient depends on this and the number only.
        slices: number of slices, spread from one side of the spine to the other.
        side: rows and columns.
        pixel: mm.

    Returns:
        Weights, uint8 (slices, tissues, side, side), in multiples of `WEIGHT_STEP`, and structures (`soft_tissue.CLASSES`), uint8
        (slices, side, side). Rows run from head to foot, columns from front to back.
    """
    patient = draw_patient(number, f"phantom{number}", seed, (512,), (slices, slices))
    random = np.random.default_rng([seed, number, 2])
    spine = build_spine(_varied(patient.body, random))
    turn = rotation_matrix(tuple(random.normal(0.0, (4.0, 3.0, 3.0))))
    thickness = random.uniform(2.5, 6.0)
    # As far as sites acquire, and a little farther.
    reach = random.uniform(22.0, 44.0) * patient.body.size
    places = np.linspace(-reach, reach, slices) + random.normal(0.0, 2.0)
    centre = np.array([0.0, 6.0, -14.0 * patient.body.size]) + random.normal(0.0, (0.0, 12.0, 22.0))
    weights = np.empty((slices, len(TISSUES), side, side), np.uint8)
    structures = np.empty((slices, side, side), np.uint8)
    down, along, normal = turn @ [0.0, 0.0, -pixel], turn @ [0.0, -pixel, 0.0], turn @ [1.0, 0.0, 0.0]
    for index, right in enumerate(places):
        corner = centre + right * normal - (side - 1) / 2 * (down + along)
        plane = np.column_stack([down, along, corner])
        found = weight_section(spine, plane, (side, side), thickness * normal, planes=3)
        weights[index] = np.clip(np.rint(found / WEIGHT_STEP), 0, 255)
        structures[index] = structure_section(spine, plane, (side, side))
    return weights, structures


def _varied(body: Body, random: np.random.Generator) -> Body:
    """Return a body whose marrow, discs and muscles differ more than age alone makes them."""
    wear = random.uniform(0.0, 1.2)
    return replace(
        body,
        variety=1.0,
        marrow_fat=random.uniform(0.2, 0.8),
        muscle_fat=random.uniform(0.0, 1.0),
        degeneration=tuple(min(grade * wear, 1.0) for grade in body.degeneration),
    )


def write_phantom(folder: Path, number: int, seed: int, **shape: Any) -> Path:
    """Write the slices of a phantom to `phantom-<number>_weights.b2nd` and `phantom-<number>_structures.b2nd`.

    Returns:
        The path of both files up to the last underscore.
    """
    stem = folder / f"phantom-{number:06d}"
    weights, structures = phantom_slices(number, seed, **shape)
    write_array(f"{stem}_structures.b2nd", structures)
    write_array(f"{stem}_weights.b2nd", weights)
    return stem


def stems(folders: Sequence[str | Path]) -> list[Path]:
    """List the phantoms that were written to folders, as `write_phantom` returned them, in the order of their numbers."""
    ending = "_weights.b2nd"
    found = [path for folder in folders for path in Path(folder).glob(f"phantom-*{ending}")]
    return sorted((path.with_name(path.name.removesuffix(ending)) for path in found), key=lambda stem: stem.name)


def count_pixels(stem: Path, classes: int) -> NDArray[np.int64]:
    """Count the pixels of each class in the slices of the phantom at `stem`: (classes,)."""
    structures = open_array(f"{stem}_structures.b2nd")[:]
    return np.bincount(CLASSES[structures].ravel(), minlength=classes)


def read_slice(stem: Path, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Read a slice of the phantom at `stem`: weights float32 (tissues, side, side) and structures uint8 (side, side).

    Raises:
        InputError: a file is missing or damaged.
    """
    files = [open_array(f"{stem}_{part}.b2nd") for part in ("weights", "structures")]
    try:
        weights, structures = (file[index] for file in files)
    except RuntimeError as error:
        raise InputError(f"{stem}_*.b2nd: phantom is damaged; delete {stem.parent} and run again") from error
    return weights.astype(np.float32) * WEIGHT_STEP, structures
