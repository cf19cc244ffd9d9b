"""The parametric anatomy: vertebrae, discs, and the curves of the soft tissues, in continuous millimetres.

Anatomical coordinates are right (r), anterior (a) and superior (s) in mm with the middle of L3 at the origin. A
vertebra has its own frame: p to the right, q anterior and z superior of its centre, v behind its rear wall. Sizes are those of adult lumbar morphometry (Panjabi MM et al., Human lumbar vertebrae: quantitative
three-dimensional anatomy, Spine 17:299-306, 1992; Zhou SH et al., Eur Spine J 9:242-248, 2000), scaled by body size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, gaussian_filter1d

Array = NDArray[np.floating[Any]]  # float32 throughout; most operations have wider types

LEVELS = ("T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1", "S2", "S3", "S4", "S5")
L3, L5, S1 = LEVELS.index("L3"), LEVELS.index("L5"), LEVELS.index("S1")

# One number per level, T8 … S5, for a person of 170 cm, in mm.
HEIGHT = (21, 22, 23, 24, 25.5, 26.5, 27.3, 27.5, 27, 26, 29, 24, 20, 17, 15)
DEPTH = (28, 28.5, 29, 30, 31, 32, 33.5, 34.5, 35, 35, 27.5, 19, 13.5, 10, 8)
WIDTH = (31, 32, 34, 37, 40, 42, 44, 46, 48, 51, 104, 90, 74, 58, 44)
DISC = (4, 4.5, 5, 5.5, 6.5, 8, 9.2, 10.2, 11, 10, 2.6, 2.0, 1.6, 1.4, 1.0)  # the disc below
TAPER = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0.03, 0.36, 0.26, 0.2, 0.12, 0.1)  # increase of depth per mm upward
SPINOUS = (22, 22, 22, 22, 23, 26, 28, 29, 26, 19, 0, 0, 0, 0, 0)  # length behind the lamina
SPINOUS_HEIGHT = (12, 12, 13, 14, 16, 19, 21, 21, 19, 14, 0, 0, 0, 0, 0)
PEDICLE = (
    12.5,
    12.5,
    12.5,
    13,
    13.5,
    13.5,
    14,
    15,
    16.5,
    19,
    0,
    0,
    0,
    0,
    0,
)  # distance from the midline, on either side
SAC_DEPTH = (7.0, 7.0, 7.2, 7.4, 7.8, 7.9, 7.7, 7.3, 7.0, 6.3, 5.0, 3.0, 0.6, 0, 0)  # radius, front to back
SAC_WIDTH = (8.5, 8.5, 8.8, 9.2, 9.8, 10, 10, 9.8, 9.6, 9, 7.5, 5, 1.5, 0, 0)  # radius, right to left
SAC_GAP = (1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.3, 1.6, 3.4, 5.5, 4.6, 3, 2.5, 2)  # fat in front of the sac
CANAL = (16.5, 16.5, 16.8, 17.2, 18, 18.2, 17.8, 17.2, 17, 17.4, 17.5, 13, 9, 6, 3)  # depth of the bony canal
INTERLAMINAR = (
    1,
    1,
    1.2,
    1.8,
    3,
    4.5,
    5.6,
    6.2,
    6.2,
    5.2,
    1,
    0.5,
    0,
    0,
    0,
)  # increase of the canal's depth at the disc below
TILT = (
    -0.07,
    -0.10,
    -0.15,
    -0.21,
    -0.25,
    -0.23,
    -0.14,
    0.0,
    0.19,
    0.45,
)  # fraction of the lordosis; S1 … S5 follow the slope
SACRAL_TILT = (5.0, 9.0, -3.0, -24.0, -44.0)  # degrees relative to the sacral slope
SUBCUTANEOUS = (0.55, 0.55, 0.6, 0.65, 0.7, 0.75, 0.85, 1.0, 1.2, 1.4, 1.4, 1.25, 1.1, 1.0, 1.0)
RETROPERITONEAL = (0.35, 0.35, 0.35, 0.4, 0.45, 0.55, 0.75, 1.0, 1.3, 1.7, 2.0, 1.7, 1.4, 1.2, 1.0)

TABLE_STEP = 0.25  # mm of s between entries of a curve
TABLE_HALF = 340.0  # curves extend from −TABLE_HALF to +TABLE_HALF


@dataclass(frozen=True)
class Body:
    """Parameters of one person's anatomy.

    Attributes:
        size: scale of the bones, 1 for a person of 170 cm.
        lordosis: angle between the end plates of L1 and S1, degrees.
        scoliosis: largest lateral deviation of the spine, mm.
        degeneration: 0 … 1 for the disc below each of `LEVELS`.
        fat: 0 (lean) … 1 (obese); thickness of the fat layers.
        muscle_fat: 0 … 1, fatty infiltration of the back muscles.
        abdomen: distance from the front of L3 to the skin of the belly, mm.
        marrow_fat: fat fraction of the marrow, 0 … 1.
        seed: seed of the textures.
        variety: 0 (the proportions of the morphometry) … 1 (people differ as far as patients do, with findings), for training sets.
    """

    size: float
    lordosis: float
    scoliosis: float
    degeneration: tuple[float, ...]
    fat: float
    muscle_fat: float
    abdomen: float
    marrow_fat: float
    seed: int
    variety: float = 0.0


class Variety:
    """Random factors by which a person's proportions differ from the mean; all 1 without variety."""

    def __init__(self, body: Body) -> None:
        """Start the random numbers of a person."""
        self._amount = body.variety
        self._random = np.random.default_rng([body.seed, 3])

    def factor(self, deviation: float, count: int | None = None, mean: float = 0.0) -> Any:
        """Draw a factor, or `count`; the logarithm has the mean and standard deviation given."""
        return np.exp(self._amount * self._random.normal(mean, deviation, count))

    def happens(self, probability: float, count: int) -> NDArray[np.bool_]:
        """Draw which of `count` levels have a finding."""
        return np.asarray(self._random.random(count) < self._amount * probability)

    def shift(self, deviation: float, count: int) -> NDArray[np.float64]:
        """Draw `count` numbers of mean 0."""
        return np.asarray(self._amount * self._random.normal(0.0, deviation, count))


@dataclass(frozen=True)
class Vertebra:
    """A vertebra or a sacral segment in the plane of the spine; lengths in mm, `tilt` in radians (front end down).

    `waist` and `recess` are how far the side and front walls lie behind the end plates' edges at mid-height, `hollow` is the depth of the
    end plates, `squareness` the exponent of the outline from above, `inset` how far within the cortex's outer surface its label ends.
    """

    name: str
    level: int
    right: float
    anterior: float
    superior: float
    tilt: float
    height: float
    depth: float
    width: float
    taper: float
    canal: float
    pedicle: float
    spinous: float
    spinous_height: float
    osteophyte: float
    waist: float = 2.6
    hollow: float = 1.7
    squareness: float = 6.0
    recess: float = 0.0
    inset: float = 0.0

    @property
    def sacral(self) -> bool:
        """Whether it is a sacral segment."""
        return self.level >= S1

    def place(self, q: float, z: float) -> tuple[float, float]:
        """Return the anterior and superior coordinates of a point of the vertebra's frame."""
        sine, cosine = np.sin(self.tilt), np.cos(self.tilt)
        return float(self.anterior + q * cosine + z * sine), float(self.superior - q * sine + z * cosine)


@dataclass(frozen=True)
class Disc:
    """The disc (or sacral remnant) between two vertebrae: height and bulge in mm, degeneration 0 … 1."""

    upper: Vertebra
    lower: Vertebra
    height: float
    bulge: float
    degeneration: float


@dataclass(frozen=True)
class Curves:
    """Courses along s, one float32 entry every `TABLE_STEP` mm; all lengths in mm.

    Attributes:
        right: r of the centre of the spine.
        front: a of the anterior face of the spine.
        rear: a of the posterior wall of the bodies and discs.
        cosine: cosine of the spine's angle to the vertical, which converts differences in a to distances.
        sac_gap, sac_depth, sac_width: thecal sac: distance behind the rear wall, two radii.
        canal: depth of the canal in the midline, ligaments included.
        cord: 1 where the sac holds the spinal cord, falling to 0 over the conus.
        roots: fraction of the sac's section filled by the cauda equina.
        fascia: a of the fascia behind the muscles of the back.
        subcutaneous: thickness of the tissue under the skin of the back.
        retroperitoneal: thickness of the fat in front of the spine.
        belly: a of the skin of the abdomen.
        lumbar: rises from 0 at L2 to 1 at L5, where muscles contain more fat.
    """

    right: Array
    front: Array
    rear: Array
    cosine: Array
    sac_gap: Array
    sac_depth: Array
    sac_width: Array
    canal: Array
    cord: Array
    roots: Array
    fascia: Array
    subcutaneous: Array
    retroperitoneal: Array
    belly: Array
    lumbar: Array


@dataclass(frozen=True)
class Spine:
    """A person's anatomy, which can be painted on any plane.

    Attributes:
        body, vertebrae, discs, curves: see there.
        lattice: noise of which textures are made.
        vessel: scale of the vessels' radii.
        ligament: thickness of the anterior longitudinal ligament, mm.
        paravertebral: how far the tissue in the hollow at the sides of bodies reaches beyond their end plates, mm, and its share of fat, 0 … 1.
        fibrous: how much more of the tissue between the spinous processes is ligament, in standard deviations of its texture.
        arch_fat: how much more of the arches' marrow is fat than of the bodies', 0 … 1.
    """

    body: Body
    vertebrae: tuple[Vertebra, ...]
    discs: tuple[Disc, ...]
    curves: Curves
    lattice: Array
    vessel: float = 1.0
    ligament: float = 0.0
    paravertebral: tuple[float, float] = (0.0, 0.0)
    fibrous: float = 0.0
    arch_fat: float = 0.0


def _chain(body: Body, variety: Variety) -> tuple[list[Vertebra], list[Disc]]:
    """Stack the vertebrae downwards and upwards from L3, with each disc along the mean direction of its neighbours."""
    random = np.random.default_rng([body.seed, 1])
    count = len(LEVELS)
    slope = 0.74 * body.lordosis
    tilts = np.deg2rad([part * body.lordosis for part in TILT] + [slope + extra for extra in SACRAL_TILT])
    tilts = tilts + np.deg2rad(random.normal(0.0, 0.8, count))
    grades = np.array(body.degeneration)
    heights = np.array(HEIGHT) * body.size * random.normal(1.0, 0.02, count)
    gaps = np.array(DISC) * body.size * (1.0 - 0.55 * grades**1.5) * random.normal(1.0, 0.04, count)
    depths = np.array(DEPTH) * body.size * random.normal(1.0, 0.015, count)
    widths = np.array(WIDTH) * body.size
    tilts = tilts + np.deg2rad(np.concatenate([variety.shift(1.5, S1), np.full(count - S1, variety.shift(6.0, 1))]))
    tilts = tilts + np.deg2rad(np.where(np.arange(count) > S1, variety.shift(5.0, count), 0.0))
    collapsed = np.where(variety.happens(0.04, count) & (np.arange(count) < S1), variety.factor(0.25, mean=-0.25), 1.0)
    heights = heights * variety.factor(0.06) * variety.factor(0.03, count) * np.minimum(collapsed, 1.0)
    gaps = gaps * variety.factor(0.18) * variety.factor(0.08, count)
    depths, widths = depths * variety.factor(0.09, mean=0.04), widths * variety.factor(0.08, mean=0.16)

    def down(tilt: float) -> NDArray[np.float64]:
        return np.array([-np.sin(tilt), -np.cos(tilt)])

    centres = np.zeros((count, 2))
    for level in range(L3 + 1, count):
        above = level - 1
        centres[level] = (
            centres[above]
            + down(tilts[above]) * heights[above] / 2
            + down((tilts[above] + tilts[level]) / 2) * gaps[above]
            + down(tilts[level]) * heights[level] / 2
        )
    for level in range(L3 - 1, -1, -1):
        below = level + 1
        centres[level] = (
            centres[below]
            - down(tilts[below]) * heights[below] / 2
            - down((tilts[below] + tilts[level]) / 2) * gaps[level]
            - down(tilts[level]) * heights[level] / 2
        )
    phase = random.uniform(0, 2 * np.pi)
    right = body.scoliosis * (np.sin(centres[:, 1] / 70.0 + phase) - np.sin(phase))
    wear = np.maximum(grades, np.concatenate([[0.0], grades[:-1]]))
    canal = variety.factor(0.10) * variety.factor(0.04, count)
    pedicle, waist, hollow = (
        variety.factor(0.08),
        variety.factor(0.35, mean=0.3),
        variety.factor(0.4) * variety.factor(0.2, count),
    )
    square = variety.factor(0.25, mean=-0.6)
    recess = body.variety * variety.factor(0.5, count)
    spinous, spinous_height = (
        variety.factor(0.18) * variety.factor(0.1, count),
        variety.factor(0.2, mean=0.15) * variety.factor(0.12, count),
    )
    herniated = np.where(variety.happens(0.08, count), variety.factor(0.3, mean=1.3), 0.0)
    vertebrae = [
        Vertebra(
            name=LEVELS[k],
            level=k,
            right=float(right[k]),
            anterior=float(centres[k, 0]),
            superior=float(centres[k, 1]),
            tilt=float(tilts[k]),
            height=float(heights[k]),
            depth=float(depths[k]),
            width=float(widths[k]),
            taper=float(TAPER[k]),
            canal=float(CANAL[k] * body.size * canal[k]),
            pedicle=float(PEDICLE[k] * body.size * pedicle),
            spinous=float(SPINOUS[k] * body.size * random.normal(1.0, 0.05) * spinous[k]),
            spinous_height=float(SPINOUS_HEIGHT[k] * body.size * spinous_height[k]),
            osteophyte=float(max(0.0, 4.5 * (wear[k] - 0.35) + random.normal(0.0, 0.5))) if k < S1 else 0.0,
            waist=float(2.6 * waist),
            hollow=float(1.7 * hollow[k]),
            # The bodies of patients end less abruptly at their sides, and annotators stop within the dark cortex.
            squareness=float(6.0 * square),
            recess=float(1.6 * recess[k]),
            inset=0.5 * body.variety,
        )
        for k in range(count)
    ]
    discs = [
        Disc(
            upper=vertebrae[k],
            lower=vertebrae[k + 1],
            height=float(gaps[k]),
            bulge=float(0.6 + 2.6 * grades[k] ** 1.3 + random.uniform(0.0, 0.8) + herniated[k]) if k < S1 else 0.0,
            degeneration=float(grades[k]),
        )
        for k in range(count - 1)
    ]
    return vertebrae, discs


def _curves(body: Body, variety: Variety, vertebrae: Sequence[Vertebra], discs: Sequence[Disc]) -> Curves:
    course = np.arange(-TABLE_HALF, TABLE_HALF, TABLE_STEP)

    def through(points: list[tuple[float, float]], smoothing: float) -> NDArray[np.float64]:
        """Return a smooth a(s) through points (a, s), continued linearly beyond the ends and then constant."""
        ordered = sorted((s, a) for a, s in points)
        s, a = np.array(ordered).T
        keep = np.concatenate([[True], np.diff(s) > 0.5])
        curve = PchipInterpolator(s[keep], a[keep])(np.clip(course, s[0], s[-1]))
        ends = 0.3 * (np.clip(course, s[-1], s[-1] + 50) - s[-1]) * np.sign(a[keep][-1] - a[keep][-3])
        return np.asarray(gaussian_filter1d(curve + ends, smoothing / TABLE_STEP, mode="nearest"))

    superior = np.array([bone.superior for bone in vertebrae])[::-1]

    def by_level(values: Sequence[float], smoothing: float = 6.0) -> NDArray[np.float64]:
        curve = np.interp(course, superior, np.asarray(values, dtype=float)[::-1])
        return np.asarray(gaussian_filter1d(curve, smoothing / TABLE_STEP, mode="nearest"))

    def face(side: float) -> list[tuple[float, float]]:
        return [
            bone.place(side * (bone.depth + bone.taper * z * 2) / 2, z)
            for bone in vertebrae
            for z in (-0.42 * bone.height, 0.42 * bone.height)
        ]

    rear, front = through(face(-1.0), 3.0), through(face(1.0), 4.0)
    slope = np.gradient(gaussian_filter1d(rear, 5.0 / TABLE_STEP), TABLE_STEP)
    # Above L5 the sac may touch the bodies; below, fat remains in front of it.
    near_wall = np.where(np.arange(len(LEVELS)) < L5, variety.factor(0.7, mean=-1.2), variety.factor(0.4))
    gap = by_level(SAC_GAP * near_wall) * body.size
    canal = by_level([bone.canal for bone in vertebrae])
    laminar = variety.factor(0.35)
    for disc in discs:
        _, middle = disc.upper.place(-disc.upper.depth / 2, -(disc.upper.height + disc.height) / 2)
        near = np.exp(-0.5 * ((course - middle) / (disc.height / 2 + 1.0)) ** 2)
        gap = gap + disc.bulge * 0.9 * near
        wide = np.exp(-0.5 * ((course - middle + 2.0) / 5.5) ** 2)
        canal = canal + INTERLAMINAR[disc.upper.level] * body.size * laminar * wide
    tips = []
    for bone in vertebrae:
        behind = bone.canal + (bone.spinous + 9.0 if not bone.sacral else 12.0)
        tips.append(bone.place(-bone.depth / 2 - behind, -0.5 * bone.height if not bone.sacral else 0.0))
    l1, l2 = vertebrae[L3 - 2], vertebrae[L3 - 1]
    conus = l1.superior - 0.6 * l1.height  # the end of the cord, at the disc L1–L2
    fascia = through(tips, 16.0) - 2.0
    belly = front[np.searchsorted(course, 0.0)] + body.abdomen * (1.0 - ((course + 20.0) / 330.0) ** 2)
    named = {
        "right": by_level([bone.right for bone in vertebrae], 12.0),
        "front": front,
        "rear": rear,
        "cosine": 1.0 / np.sqrt(1.0 + slope**2),
        "sac_gap": gap,
        "sac_depth": by_level(SAC_DEPTH) * body.size * (1.0 - 0.12 * max(body.degeneration)) * variety.factor(0.1),
        "sac_width": by_level(SAC_WIDTH) * body.size * variety.factor(0.1),
        "canal": canal,
        "cord": 1.0 / (1.0 + np.exp(-(course - conus - 12.0) / 6.0)),
        "roots": np.interp(course, [-120.0, -60.0, 0.0, l2.superior], [0.15, 0.28, 0.42, 0.6]),
        "fascia": fascia,
        "subcutaneous": by_level(SUBCUTANEOUS * variety.factor(0.15, len(LEVELS)), 16.0) * (5.0 + 23.0 * body.fat),
        "retroperitoneal": by_level(RETROPERITONEAL, 14.0) * (7.0 + 13.0 * body.fat) * variety.factor(0.3),
        "belly": belly,
        "lumbar": 1.0 / (1.0 + np.exp((course - vertebrae[L3 + 1].superior) / 14.0)),
    }
    return Curves(**{name: curve.astype(np.float32) for name, curve in named.items()})


LATTICE = 128  # cells along a side of the texture; a power of two, so wrapping is a bit mask


def _lattice(seed: int) -> Array:
    """Make smooth periodic noise of mean 0 and variance 1, (LATTICE,)*3, correlated over about four cells."""
    random = np.random.default_rng([seed, 2])
    half = random.standard_normal((LATTICE // 2,) * 3, dtype=np.float32)
    # made on half of the cells and doubled: an eighth of the work, and the noise has no finer detail
    smooth = gaussian_filter(half, 1.4, mode="wrap", truncate=3.0)
    for axis in range(3):
        pairs = np.stack([smooth, (smooth + np.roll(smooth, -1, axis)) / 2], axis=axis + 1)
        shape = list(smooth.shape)
        shape[axis] *= 2
        smooth = pairs.reshape(shape)
    smooth -= smooth.mean()
    return np.ascontiguousarray(smooth / smooth.std(), dtype=np.float32)


def build_spine(body: Body) -> Spine:
    """Build a person's anatomy. The same `body` gives the same anatomy."""
    variety = Variety(body)
    vertebrae, discs = _chain(body, variety)
    curves = _curves(body, variety, vertebrae, discs)
    vessel = float(variety.factor(0.25, mean=-0.2))
    ligament = float(1.4 * body.variety * variety.factor(0.3))
    paravertebral = float(1.2 * body.variety * variety.factor(0.7)), float(min(0.45 * variety.factor(0.35), 0.9))
    fibrous = float(body.variety * 0.7 + variety.shift(0.5, 1)[0])
    arch_fat = float(body.variety * 0.18 + variety.shift(0.1, 1)[0])
    return Spine(
        body,
        tuple(vertebrae),
        tuple(discs),
        curves,
        _lattice(body.seed),
        vessel,
        ligament,
        paravertebral,
        fibrous,
        arch_fat,
    )
