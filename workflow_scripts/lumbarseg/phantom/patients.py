"""Patients with the demographics of Table 1, and sites with protocols within Table 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lumbarseg.phantom.spine import L5, LEVELS, S1, Body

Range = tuple[float, float]


@dataclass(frozen=True)
class Protocol:
    """Ranges of one contrast's sequence at a site; they lie within those of Table 2.

    Attributes:
        repetition_time, echo_time: ms.
        echo_train: echoes per train.
        flip_angle: flip angle of the refocusing pulses, degrees.
    """

    repetition_time: Range
    echo_time: Range
    echo_train: tuple[int, int]
    flip_angle: float


@dataclass(frozen=True)
class Site:
    """A hospital with its scanner.

    Attributes:
        name: name of the site in the sheet.
        institution, manufacturer, model: values of the DICOM headers.
        frequency: proton frequency, MHz (1.5 T).
        matrix: preferred matrix; the nearest of the study's matrices is the most probable.
        field_of_view: mm.
        coil_depth, coil_strength: see `signal.coil_profile`.
        noise: standard deviation of the noise in each receiver channel, relative to the signal of fat.
        fat_value: mean stored value of fat.
        saturation: distance of the saturation slab in front of the spine, mm, or None without a slab.
        ghosting: relative amplitude of motion ghosts.
        left_to_right: whether the first slice lies to the patient's left.
        protocols: protocol by contrast.
    """

    name: str
    institution: str
    manufacturer: str
    model: str
    frequency: float
    matrix: int
    field_of_view: Range
    coil_depth: float
    coil_strength: float
    noise: float
    fat_value: float
    saturation: float | None
    ghosting: float
    left_to_right: bool
    protocols: Mapping[str, Protocol]


# No single scanner covers the ranges of Table 2; the sites share them.
SITES = (
    Site(
        "north", "Hospital Ficticio del Norte", "SIEMENS", "Avanto", 63.676, 512, (280, 320), 90.0, 0.65, 0.016, 620.0,
        52.0, 0.010, False,
        {
            "T2w": Protocol((3000, 4200), (94, 108), (15, 19), 150.0),
            "T1w": Protocol((480, 640), (9.6, 12.0), (3, 5), 150.0),
        },
    ),
    Site(
        "south", "Clinica Imaginaria del Sur", "Philips Medical Systems", "Achieva", 63.885, 640, (290, 330), 120.0,
        0.45, 0.020, 900.0, 60.0, 0.014, True,
        {
            "T2w": Protocol((2000, 3600), (100, 120), (20, 36), 90.0),
            "T1w": Protocol((400, 560), (6.9, 8.5), (4, 6), 90.0),
        },
    ),
    Site(
        "east", "Centro Inventado del Este", "HITACHI", "Echelon", 63.861, 512, (260, 310), 80.0, 0.70,
        0.018, 1500.0, None, 0.008, False,
        {
            "T2w": Protocol((2600, 5200), (96, 125), (16, 24), 111.0),
            "T1w": Protocol((420, 700), (8.5, 14.5), (2, 4), 111.0),
        },
    ),
    Site(
        "west", "Hospital de Mentira Oeste", "TOSHIBA", "Vantage Titan", 63.552, 384, (280, 320), 100.0, 0.60, 0.024,
        3200.0, None, 0.018, True,
        {
            "T2w": Protocol((4200, 10172), (105, 145), (13, 21), 160.0),
            "T1w": Protocol((500, 764), (10.0, 17.4), (2, 4), 160.0),
        },
    ),
    Site(
        "centre", "Hospital Supuesto Central", "SIEMENS", "Aera", 63.616, 800, (290, 340), 100.0, 0.55, 0.013, 480.0,
        46.0, 0.012, True,
        {
            "T2w": Protocol((2800, 4000), (84.6, 100), (17, 25), 170.0),
            "T1w": Protocol((420, 600), (7.2, 10.5), (3, 10), 140.0),
        },
    ),
)  # fmt: skip

# Pixel spacings of Table 2, mm, for matrices of its range.
SPACING: Mapping[str, Range] = {"T2w": (0.3704, 1.0), "T1w": (0.4688, 1.0)}
MATRIX: Mapping[str, tuple[int, int]] = {"T2w": (320, 1024), "T1w": (320, 800)}


@dataclass(frozen=True)
class Sequence2D:
    """The protocol of one series: times in ms, lengths in mm."""

    contrast: str
    repetition_time: float
    echo_time: float
    echo_train: int
    flip_angle: float
    matrix: int
    spacing: float


@dataclass(frozen=True)
class Stack:
    """How the slices of one series are placed and stored.

    Attributes:
        slices: number of slices.
        slice_spacing, slice_thickness: mm.
        tilts: rotation of the stack about the R, A and S axes, degrees.
        offset: centre of the stack relative to the scanner's centre, mm (R, A, S).
        mirrored: whether columns run from posterior to anterior, and rows from inferior to superior.
        left_to_right: whether the first slice lies to the patient's left.
    """

    slices: int
    slice_spacing: float
    slice_thickness: float
    tilts: tuple[float, float, float]
    offset: tuple[float, float, float]
    mirrored: tuple[bool, bool]
    left_to_right: bool


@dataclass(frozen=True)
class Patient:
    """One patient at one site.

    Attributes:
        number: number of the patient, from 1.
        participant: participant id of the sheet.
        age: years.
        sex: F or M.
        weight: kg.
        height: cm.
        body: parameters of the anatomy.
        site: the site of the scanner.
        sequences: sequence by contrast.
        stacks: stack of slices by contrast; T1w has a grid of its own.
        rotation: rotation between the scans about the R, A and S axes, degrees.
        translation: translation between the scans, mm.
        seed: seed of noise and tissue parameters.
    """

    number: int
    participant: str
    age: int
    sex: str
    weight: float
    height: float
    body: Body
    site: Site
    sequences: Mapping[str, Sequence2D]
    stacks: Mapping[str, Stack]
    rotation: tuple[float, float, float]
    translation: tuple[float, float, float]
    seed: int


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    first, second, third = (round(float(value), 3) for value in values)
    return first, second, third


def _between(random: np.random.Generator, limits: Range) -> float:
    return float(random.uniform(*limits))


def _person(random: np.random.Generator) -> tuple[int, str, float, float]:
    """Draw age (years), sex, weight (kg) and height (cm) as in Table 1: 53 ± 16.5 (9 … 88) years, 74.1 ± 14.6 (29 … 120) kg."""
    sex = "F" if random.random() < 105 / 181 else "M"
    age = int(np.clip(round(random.normal(53.0, 16.5)), 9, 88))
    usual = 162.0 if sex == "F" else 174.5
    height = random.normal(usual, 6.2)
    weight = random.normal(74.1, 12.8) + (-4.2 if sex == "F" else 5.8) + 0.8 * (height - usual)
    weight = max(weight, 17.0 * (height / 100.0) ** 2)
    if age < 17:  # children are smaller
        height *= 0.80 + 0.20 * (age - 9) / 8
        weight *= 0.48 + 0.45 * (age - 9) / 8
    return age, sex, round(float(np.clip(weight, 29.0, 120.0)), 1), round(float(height), 0)


def _body(random: np.random.Generator, age: int, sex: str, weight: float, height: float) -> Body:
    wear = np.clip((age - 18) / 62.0, 0.0, 1.0)
    grades = []
    for level in range(len(LEVELS)):
        lumbar = {L5 - 1: 0.16, L5: 0.20, L5 - 2: 0.06}.get(level, 0.0)
        grade = 0.72 * wear + lumbar + random.normal(0.0, 0.16) - (0.12 if level < L5 - 4 else 0.0)
        grades.append(float(np.clip(grade, 0.0, 1.0)) if level < S1 else 0.0)
    index = weight / (height / 100.0) ** 2
    fat = float(np.clip((index - 18.0) / 17.0 + random.normal(0.0, 0.06), 0.05, 1.0))
    return Body(
        size=float(height / 170.0 * random.normal(1.0, 0.015)),
        lordosis=float(np.clip(random.normal(47.0, 8.5), 28.0, 66.0)),
        scoliosis=float(abs(random.normal(0.0, 1.0))),
        degeneration=tuple(grades),
        fat=fat,
        muscle_fat=float(
            np.clip(0.08 + 0.65 * wear + (0.1 if sex == "F" else 0.0) + random.normal(0.0, 0.12), 0.05, 1.0)
        ),
        abdomen=float(np.clip(62.0 + 95.0 * fat + random.normal(0.0, 8.0), 58.0, 175.0) * (height / 170.0)),
        marrow_fat=float(np.clip(0.24 + 0.005 * (age - 15) + random.normal(0.0, 0.04), 0.2, 0.65)),
        seed=int(random.integers(2**31)),
    )


def _pixel(contrast: str, matrix: int, field_of_view: float) -> float:
    """Return the pixel spacing in mm, within Table 2 for matrices of its range."""
    spacing = field_of_view / matrix
    if MATRIX[contrast][0] <= matrix <= MATRIX[contrast][1]:
        spacing = float(np.clip(spacing, SPACING[contrast][0] + 5e-5, SPACING[contrast][1]))
    return round(spacing, 4)


def _sequence(random: np.random.Generator, site: Site, contrast: str, matrix: int, field_of_view: float) -> Sequence2D:
    protocol = site.protocols[contrast]
    return Sequence2D(
        contrast=contrast,
        repetition_time=round(_between(random, protocol.repetition_time), 1),
        echo_time=round(_between(random, protocol.echo_time), 2),
        echo_train=int(random.integers(protocol.echo_train[0], protocol.echo_train[1] + 1)),
        flip_angle=protocol.flip_angle,
        matrix=matrix,
        spacing=_pixel(contrast, matrix, field_of_view),
    )


def _t1w_grid(
    random: np.random.Generator, sequence: Sequence2D, stack: Stack, sides: Sequence[int], slices: tuple[int, int]
) -> tuple[Sequence2D, Stack]:
    """Draw the grid of T1w from those of its sequence and of the T2w stack, both of which a technician starts from.

    Matrix, field of view, number of slices and their distance, tilt, centre and storage order differ.
    """
    matrix = int(random.choice([side for side in sides if side <= MATRIX["T1w"][1]] or [sequence.matrix]))
    view = float(np.clip(sequence.matrix * sequence.spacing * _between(random, (0.95, 1.12)), 240.0, 340.0))
    count = int(np.clip(stack.slices + random.integers(-1, 2), *slices))
    cover = stack.slices * stack.slice_spacing * _between(random, (0.97, 1.08))
    spacing = round(float(np.clip(cover / count, 3.6, 6.0)), 2)
    tilts = _triple(np.add(stack.tilts, random.uniform(-1.0, 1.0, 3) * (2.0, 1.0, 1.0)))
    grid = Stack(
        slices=count,
        slice_spacing=spacing,
        slice_thickness=round(spacing * _between(random, (0.8, 0.92)), 1),
        tilts=tilts,
        offset=_triple(random.uniform(-1.0, 1.0, 3) * (0.5, 4.0, 4.0)),
        mirrored=(bool(random.integers(2)), bool(random.integers(2))),
        left_to_right=bool(random.integers(2)),
    )
    return replace(sequence, matrix=matrix, spacing=_pixel("T1w", matrix, view)), grid


def draw_patient(number: int, participant: str, seed: int, matrices: Sequence[int], slices: tuple[int, int]) -> Patient:
    """Draw a patient, independently of the size of the cohort.

    Args:
        number: number of the patient, from 1; sites alternate.
        participant: participant id.
        seed: seed of the cohort.
        matrices: image sizes to choose from, pixels.
        slices: minimum and maximum number of slices.
    """
    random = np.random.default_rng([seed, number])
    site = SITES[(number - 1) % len(SITES)]
    age, sex, weight, height = _person(random)
    body = _body(random, age, sex, weight, height)
    sides = np.array(sorted(matrices))
    preference = np.exp(-4.0 * np.abs(np.log(sides / site.matrix)))
    matrix = int(random.choice(sides, p=preference / preference.sum()))
    view = _between(random, site.field_of_view) * float(np.clip(height / 168.0, 0.88, 1.04))
    view = float(np.clip(view, 240.0, 340.0))
    largest = MATRIX["T1w"][1]
    t1_matrix = matrix
    if matrix > largest:
        t1_matrix = max([int(side) for side in sides if side <= largest], default=matrix)
    count = int(random.integers(slices[0], slices[1] + 1))
    # wide enough to reach the foramina, within what sites acquire
    cover = _between(random, (46.0, 62.0)) * body.size
    slice_spacing = round(float(np.clip(cover / count, 3.6, 6.0)), 2)
    sequences = {
        contrast: _sequence(random, site, contrast, side, view)
        for contrast, side in (("T2w", matrix), ("T1w", t1_matrix))
    }
    limits = np.array([4.0, 2.0, 2.0])
    stack = Stack(
        slices=count,
        slice_spacing=slice_spacing,
        slice_thickness=round(slice_spacing * _between(random, (0.8, 0.92)), 1),
        tilts=(0.0, round(float(random.uniform(-1.5, 1.5)), 2), round(float(random.uniform(-2.0, 2.0)), 2)),
        offset=(0.0, 0.0, 0.0),
        mirrored=(False, False),
        left_to_right=site.left_to_right,
    )
    # a generator of its own, so that everything else of a patient is independent of the grid of T1w
    of_grid = np.random.default_rng([seed, number, 1])
    sequences["T1w"], t1w_stack = _t1w_grid(of_grid, sequences["T1w"], stack, sides.tolist(), slices)
    return Patient(
        number=number,
        participant=participant,
        age=age,
        sex=sex,
        weight=weight,
        height=height,
        body=body,
        site=site,
        sequences=sequences,
        stacks={"T2w": stack, "T1w": t1w_stack},
        rotation=_triple(random.uniform(-limits, limits)),
        translation=_triple(random.uniform(-4.0, 4.0, 3)),
        seed=int(random.integers(2**31)),
    )
