"""Painting of soft tissue: belly, fat, vessels, muscles, skin, canal and nerve roots."""

import numpy as np

from lumbarseg.phantom.raster import Array, PlaneRaster
from lumbarseg.phantom.spine import L3, L5, LEVELS, S1, Vertebra

# Class ids of the label table (config.yaml, Section 3.1.2).
BACKGROUND, VERTEBRA, SACRUM, DISC, CAVITY, SUBCUTANEOUS = range(6)
EPIDURAL_FAT, MUSCLE_FAT, RETROPERITONEAL_FAT, NERVE_ROOT, VESSEL, MUSCLE = range(6, 12)
# Structures that are part of a class: the vertebral arch of the vertebra, what lies in front of the retroperitoneum of background.
ARCH, BELLY = 12, 13
CLASSES = np.array([*range(12), VERTEBRA, BACKGROUND], np.uint8)
"""Class id by structure."""

T12 = LEVELS.index("T12")


def ramp(values: Array, low: float, high: float) -> Array:
    """Return 0 below `low`, 1 above `high`, and linear values between."""
    return np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)


def capsule(
    raster: PlaneRaster, ends: tuple[tuple[float, ...], tuple[float, ...]], radii: tuple[float, float]
) -> Array:
    """Return the distance (mm) to a rod between two points (r, a, s), whose radius changes linearly between `radii`."""
    start, stop = np.asarray(ends[0], dtype=np.float64), np.asarray(ends[1], dtype=np.float64)
    axis = stop - start
    unit = (axis / (axis @ axis)).astype(np.float32)
    r, a, s = raster.r - np.float32(start[0]), raster.a - np.float32(start[1]), raster.s - np.float32(start[2])
    along = np.clip(r * unit[0] + a * unit[1] + s * unit[2], 0.0, 1.0)
    step = axis.astype(np.float32)
    r, a, s = r - along * step[0], a - along * step[1], s - along * step[2]
    return np.sqrt(r * r + a * a + s * s) - (np.float32(radii[0]) + along * np.float32(radii[1] - radii[0]))


def rod_window(
    raster: PlaneRaster, ends: tuple[tuple[float, ...], tuple[float, ...]], radius: float
) -> PlaneRaster | None:
    """Return the part of the plane that may intersect a rod."""
    start, stop = np.asarray(ends[0]), np.asarray(ends[1])
    return raster.window((start + stop) / 2, np.abs(stop - start) / 2 + radius + 2.0)


def paint_belly(raster: PlaneRaster) -> None:
    """Paint air, skin and fat of the belly, its muscular wall, bowel in mesenteric fat, and liver; all background."""
    body = raster.spine.body
    ahead = raster.between(raster.extremes("front")[0], raster.extremes("belly")[1] + 2.0)
    if ahead is None:
        return
    raster = ahead
    depth = raster.a - raster.curve("belly")
    fat_layer = 6.0 + 26.0 * body.fat
    raster.paint(depth, raster.grain("fat", 0.05, 0.05), BELLY)
    if raster.is_label_image:
        return
    raster.paint(np.abs(depth + 1.0) - 1.0, raster.signal("skin"), None)
    wavy = raster.noise(5.0, 9)
    wall = depth + fat_layer + 2.0 * wavy
    raster.paint(wall, raster.signal("muscle") * 1.1, None)
    inside = wall + 9.0
    mesentery = raster.grain("fat", 0.10, 0.12) * np.float32(0.85)
    loops, loose = raster.noise(2.1, 3), raster.noise(3.4, 4)
    wall_part = ramp(loops, 0.35 + 0.5 * body.fat, 0.6 + 0.5 * body.fat)
    content = ramp(loops, 0.9 + 0.5 * body.fat, 1.15 + 0.5 * body.fat)
    gas = ramp(loose, 0.95, 1.25) * content
    value = mesentery + wall_part * (raster.signal("bowel wall") - mesentery)
    filling = raster.signal("bowel content") * (0.75 + 0.35 * loose)
    value += content * (filling - value)
    value -= 0.93 * gas * value
    if float(raster.s.max()) > 30.0:
        liver = ramp(raster.s - 12.0 * wavy + 0.5 * raster.r, 70.0, 76.0)
        value += liver * (raster.grain("liver", 0.06) - value)
    raster.paint(inside, value, None)


def paint_retroperitoneum(raster: PlaneRaster) -> None:
    """Paint the fat in front of and next to the spine, psoas, and diaphragm crura."""
    region = raster.between(
        raster.extremes("rear")[0] - 20.0,
        raster.extremes("front")[1] + 1.9 * raster.extremes("retroperitoneal")[1] + 5.0,
    )
    if region is None:
        return
    raster = region
    edge = raster.noise(4.0, 11)
    ahead = raster.a - raster.curve("front")
    thickness = raster.curve("retroperitoneal") * (1.0 + np.float32(0.28) * edge) + np.float32(2.5)
    distance = (ahead - thickness) * raster.curve("cosine")
    value = raster.grain("fat", 0.10, 0.08)
    if not raster.is_label_image:
        # strands and small vessels
        strands = ramp(raster.noise((0.9, 0.9, 2.4), 13), 1.1, 1.7)
        value = value * (1.0 - np.float32(0.55) * strands)
    raster.paint(distance, value, RETROPERITONEAL_FAT)

    bones, size = raster.spine.vertebrae, raster.spine.body.size
    levels = [bone.superior for bone in bones[T12 : S1 + 2]][::-1]

    def course(values: list[float]) -> Array:
        return np.interp(raster.s, levels, values[::-1]).astype(np.float32)

    lateral = np.abs(raster.p)
    if float(lateral.max()) > 18.0:
        middle = course([24, 26, 29, 32, 36, 40, 45, 52])  # T12 … S2
        width = course([1, 5, 8.5, 12, 15, 17, 17, 15])
        length = course([1, 7, 11, 15, 18, 20, 18, 16])
        forward = course([-14, -12, -10, -8, -5, 2, 14, 26])
        across = (lateral - middle * np.float32(size)) / (width * np.float32(size))
        ahead_of = (raster.a - raster.curve("front") + np.float32(17 * size) - forward - 8) / (
            length * np.float32(size)
        )
        psoas = (np.sqrt(across * across + ahead_of * ahead_of) - 1.0) * width
        part = ramp(raster.noise((0.5, 0.5, 3.5), 17), 1.9, 2.3)
        muscle = raster.grain("muscle", 0.06, 0.05)
        raster.paint_mixture(psoas, part, (muscle, raster.signal("fat")), (MUSCLE, MUSCLE_FAT))
    crus_end = bones[L3].superior
    if float(raster.s.max()) > crus_end and float(lateral.min()) < 14.0:
        thick = np.float32(2.9) * ramp(raster.s, crus_end, crus_end + 55.0) + np.float32(0.01)
        crus = (np.sqrt(((lateral - 6.0) / 7.0) ** 2 + ((ahead - 2.2) / thick) ** 2) - 1.0) * thick
        raster.paint(np.maximum(crus, crus_end - raster.s), raster.signal("muscle"), MUSCLE)


def paint_ligament(raster: PlaneRaster) -> None:
    """Paint the anterior longitudinal ligament, a dark band before bodies and discs; background, like all ligaments."""
    thickness = raster.spine.ligament
    region = raster.between(raster.extremes("front")[0] - 4.0, raster.extremes("front")[1] + 6.0)
    if not thickness or region is None:
        return
    ahead = (region.a - region.curve("front")) * region.curve("cosine")
    lateral = np.abs(region.p)
    # Thinner towards its edges, about a centimetre from the middle.
    edge = np.float32(thickness) * np.sqrt(np.maximum(1.0 - (lateral / 14.0) ** 2, 0.0))
    region.paint(
        np.maximum(ahead - edge, np.maximum(-2.0 - ahead, lateral - 14.0)), region.signal("ligament"), BACKGROUND
    )


def paint_vessels(raster: PlaneRaster) -> None:
    """Paint the aorta on the left, the vena cava on the right, and the common iliac vessels."""
    bones, size = raster.spine.vertebrae, raster.spine.body.size
    fork = bones[L3 + 1].superior - 6.0  # the aorta divides at L4, the vena cava begins at L5
    gap, wide = 3.0 + 3.0 * raster.spine.body.fat, raster.spine.vessel
    region = raster.between(raster.extremes("front")[0] - 6.0, raster.extremes("front")[1] + 50.0)
    if region is None:
        return
    raster = region
    p, ahead = raster.p, (raster.a - raster.curve("front")) * raster.curve("cosine")
    tubes: list[tuple[str, PlaneRaster, Array]] = []
    for kind, right, radius, ends in (("aorta", -7.0, 8.6 * wide, fork), ("vein", 13.5, 9.6 * wide, fork - 18.0)):
        across, along = p - right * size, ahead - (gap + radius * size + (3.0 if kind == "vein" else 0.0))
        below = np.maximum(np.float32(ends) - raster.s, 0.0)
        tubes.append((kind, raster, np.sqrt(across**2 + along**2 + below**2) - np.float32(radius * size)))
    l4, l5, s1 = bones[L3 + 1], bones[L5], bones[S1]

    def before(bone: Vertebra, forward: float, z: float, right: float) -> tuple[float, float, float]:
        a, s = bone.place(bone.depth / 2 + forward, z)
        return (bone.right + right * size, a, s)

    for kind, start, stop, radii in (
        ("aorta", before(l4, gap + 8, -6, -7), before(l5, gap + 9, -8, -24), (6.8, 5.6)),
        ("aorta", before(l4, gap + 8, -6, -7), before(l5, gap + 11, -4, 18), (6.8, 5.6)),
        ("vein", before(l5, gap + 8, 4, 13.5), before(l5, gap + 7, -10, -12), (7.6, 6.4)),
        ("vein", before(l5, gap + 7, -10, -12), before(s1, gap + 10, 2, -30), (6.4, 6.0)),
        ("vein", before(l5, gap + 8, 4, 13.5), before(s1, gap + 9, 4, 32), (7.6, 6.2)),
        ("aorta", before(l5, gap + 9, -8, -24), before(s1, gap + 16, -8, -38), (5.6, 4.8)),
        ("aorta", before(l5, gap + 11, -4, 18), before(s1, gap + 16, -8, 38), (5.6, 4.8)),
    ):
        where = rod_window(raster, (start, stop), max(radii) * size * wide)
        if where is not None:
            scaled = (radii[0] * size * wide, radii[1] * size * wide)
            tubes.append((kind, where, capsule(where, (start, stop), scaled)))
    # fraction of the blood's signal that flow leaves; walls first, so that vessels open into each other
    flowing = {"aorta": 0.10, "vein": 0.22}
    for kind in ("vein", "aorta"):
        for where, distance in [(w, d) for k, w, d in tubes if k == kind]:
            where.paint(distance, where.signal("muscle") * 0.9, VESSEL)
        for where, distance in [(w, d) for k, w, d in tubes if k == kind]:
            where.paint(distance + 1.1, where.signal("blood") * flowing[kind], None)


def paint_back(raster: PlaneRaster) -> None:
    """Paint the muscles behind the spine with their fat, interspinous tissue, fascia, fat and skin of the back."""
    body = raster.spine.body
    low, high = (
        raster.extremes("fascia")[0] - raster.extremes("subcutaneous")[1] - 8.0,
        raster.extremes("rear")[1] + 8.0,
    )
    raster.pixels[..., raster.a < low + 2.0] = BACKGROUND  # air behind the back
    region = raster.between(low, high)
    if region is None:
        return
    raster = region
    p = raster.p
    lateral = np.abs(p)
    rear, cosine, fascia = raster.curve("rear"), raster.curve("cosine"), raster.curve("fascia")
    behind = (rear - raster.a) * cosine
    # laterally, the muscles of a supine person extend further back than the spinous processes
    fascia = fascia - np.float32(4.0) * ramp(lateral, 3.0, 16.0) + np.float32(5.0) * ramp(lateral, 26.0, 60.0)
    lumbar = raster.curve("lumbar")

    streaks = raster.noise((0.42, 0.5, 3.6), 21) + np.float32(0.5) * raster.noise((1.5, 1.6, 5.0), 23)
    deep = ramp(behind, 46.0, 14.0)  # fat is deep, near laminae and facets, and at lower levels
    excess = np.float32(0.25 + 1.25 * body.muscle_fat) * (0.35 + lumbar) + np.float32(0.55) * deep * ramp(
        lateral, 26.0, 5.0
    )
    part = ramp(streaks + excess, 1.55, 2.15)
    muscle = raster.grain("muscle", 0.06, 0.06)
    fat = raster.signal("fat")
    raster.paint_mixture(
        -behind - 3.0 + 0.35 * np.maximum(lateral - 24.0, 0.0), part, (muscle, fat), (MUSCLE, MUSCLE_FAT)
    )

    # between the spinous processes: fat with fibres of the interspinous ligament
    if float(lateral.min()) < 6.0:
        fibres = raster.noise((0.6, 2.2, 0.8), 27) + np.float32(0.25 - 0.5 * body.muscle_fat + raster.spine.fibrous)
        middle = np.maximum(lateral - 4.2, 12.0 - behind)
        ligament = raster.signal("ligament") + 0.22 * fat  # its fibres are embedded in fat
        part = ramp(fibres, 0.45, -0.15)
        raster.paint_mixture(middle, part, (ligament, np.float32(0.8 * fat)), (BACKGROUND, MUSCLE_FAT))
        supraspinous = np.maximum(lateral - 4.5, np.abs(raster.a - fascia - 1.0) - 1.3)
        raster.paint(supraspinous, raster.signal("ligament"), BACKGROUND)

    layer = (raster.a - fascia) * cosine
    value = raster.grain("fat", 0.03, 0.05)
    if not raster.is_label_image:
        septa = np.abs(raster.noise((3.0, 1.1, 4.0), 29))
        value = value * (1.0 - np.float32(0.30) * ramp(septa, 0.10, 0.02))
    raster.paint(layer, value, SUBCUTANEOUS)
    raster.paint(np.abs(layer) - 0.55, raster.signal("ligament"), None)
    skin = raster.a - fascia + raster.curve("subcutaneous") + np.float32(0.8) * raster.noise(9.0, 31)
    raster.paint(skin - 1.9, raster.signal("skin"), None)
    raster.paint(skin, 0.0, BACKGROUND)


def paint_epidural_fat(raster: PlaneRaster) -> None:
    """Paint the fat in the bony canal around the thecal sac, and in the foramina around the roots."""
    region = raster.between(raster.extremes("rear")[0] - 26.0, raster.extremes("rear")[1] + 2.0)
    if region is not None:
        _paint_canal(region)
    size = raster.spine.body.size
    for upper in raster.spine.vertebrae[: S1 + 2]:
        low = 0.55 if upper.sacral else 0.42
        for side in (-1.0, 1.0):
            right = upper.right + side * (18.5 if upper.sacral else upper.pedicle + 2.0) * size
            a, s = upper.place(-upper.depth / 2 - (1.0 if upper.sacral else 5.6) * size, -low * upper.height)
            where = raster.window((right, a, s), (10.0 * size, 18.0 * size, 18.0 * size))
            if where is None:
                continue
            ahead, up = where.a - np.float32(a), where.s - np.float32(s)
            sine, cosine = np.float32(np.sin(upper.tilt)), np.float32(np.cos(upper.tilt))
            q, z = ahead * cosine - up * sine, ahead * sine + up * cosine
            # keyhole shape: wide under the pedicle, narrow behind the disc
            tall, wide = (6.5, 6.0) if upper.sacral else (0.40 * upper.height + 1.0, 6.4)
            width = np.float32(wide * size) * (1.0 + 0.22 * np.clip(z / tall, -1.0, 1.0))
            hole = (np.sqrt((q / width) ** 2 + (z / np.float32(tall)) ** 2) - 1.0) * 5.0
            hole = np.maximum(hole, np.abs(where.r - np.float32(right)) - 9.0 * size)
            where.paint(hole, where.grain("fat", 0.06), EPIDURAL_FAT)


def _paint_canal(raster: PlaneRaster) -> None:
    lateral = np.abs(raster.p)
    if float(lateral.min()) < 16.0:
        behind = (raster.curve("rear") - raster.a) * raster.curve("cosine")
        # the dorsal pads are triangular in the axial plane, deepest in the midline
        bony = raster.curve("sac_gap") + 2.0 * raster.curve("sac_depth") + 1.0
        depth = bony + (raster.curve("canal") - bony) * (1.0 - ramp(lateral, 1.5, 9.5))
        canal = np.maximum(np.maximum(-behind, behind - depth), lateral - raster.curve("sac_width") - 2.6)
        end = raster.spine.vertebrae[-1].superior
        raster.paint(np.maximum(canal, end - raster.s), raster.grain("fat", 0.05), EPIDURAL_FAT)


def paint_sac(raster: PlaneRaster) -> None:
    """Paint the thecal sac: cerebrospinal fluid with cord, conus and cauda equina."""
    region = raster.between(raster.extremes("rear")[0] - 26.0, raster.extremes("rear")[1] + 2.0)
    if region is None:
        return
    raster = region
    lateral = np.abs(raster.p)
    if float(lateral.min()) > 13.0:
        return
    gap, radius, width = raster.curve("sac_gap"), raster.curve("sac_depth"), raster.curve("sac_width")
    behind = (raster.curve("rear") - raster.a) * raster.curve("cosine") - gap - radius
    safe, safe_width = np.maximum(radius, 0.3), np.maximum(width, 0.3)
    across, depth = lateral / safe_width, behind / safe
    distance = (np.sqrt(across * across + depth * depth) - 1.0) * safe + ramp(radius, 2.0, 0.3) * 4.0
    if raster.is_label_image:
        raster.paint(distance, 0.0, CAVITY)
        return
    fluid, nerve, cord = raster.signal("cerebrospinal fluid"), raster.signal("nerve"), raster.signal("cord")
    # in supine position, the roots of the cauda equina rest on the posterior wall
    strands = raster.noise((0.30, 0.22, 7.0), 33)
    reach = raster.curve("roots")
    bundle = ramp(depth + 0.30 * strands + 2.0 * reach, 0.85, 1.25)
    value = fluid + np.float32(0.72) * bundle * ramp(strands, -0.9, 0.6) * (nerve - fluid)
    stem = raster.curve("cord")
    core = np.sqrt((lateral / (5.0 * stem + 0.05)) ** 2 + ((behind - 0.8) / (4.1 * stem + 0.05)) ** 2)
    value += ramp(core, 1.12, 0.88) * ramp(stem, 0.05, 0.3) * (cord - value)
    raster.paint(distance + 0.0, raster.signal("ligament"), None)  # dura
    raster.paint(distance + 0.6, value, None)


def paint_roots(raster: PlaneRaster) -> None:
    """Paint the nerve roots from the lateral recess through the foramen, with the ganglion under the pedicle."""
    size = raster.spine.body.size
    for bone in raster.spine.vertebrae[: S1 + 2]:
        for side in (-1.0, 1.0):
            rear = -bone.depth / 2
            exit_right = (18.5 if bone.sacral else bone.pedicle + 2.0) * size
            if bone.sacral:
                stations = (
                    (7.5 * size, rear - 5.0, 0.15),
                    (exit_right, rear - 1.0, -0.53),
                    (exit_right + 9, rear + 6, -0.8),
                )
                radii = (2.0, 2.9, 2.4) if bone.level == S1 else (1.6, 2.3, 2.0)
            else:
                stations = (
                    (8.5 * size, rear - 6.5, -0.02),
                    (exit_right, rear - 6.0, -0.31),
                    (exit_right + 12, rear + 4, -0.62),
                )
                radii = (1.7, 3.0, 2.4)
            points = [(bone.right + side * right, *bone.place(q, part * bone.height)) for right, q, part in stations]
            for k in (0, 1):
                ends = (points[k], points[k + 1])
                where = rod_window(raster, ends, max(radii) * size)
                if where is None:
                    continue
                distance = capsule(where, ends, (radii[k] * size, radii[k + 1] * size))
                where.paint(distance, where.signal("nerve"), NERVE_ROOT)
