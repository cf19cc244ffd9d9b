"""Painting of all that is not bone or disc: belly, fat, vessels, muscles, skin, canal and nerve roots."""

import numpy as np

from lumbarseg.phantom.canvas import Array, Canvas
from lumbarseg.phantom.spine import L3, L5, LEVELS, S1, Vertebra

# Class ids of the label table (config.yaml, Section 3.1.2).
BACKGROUND, VERTEBRA, SACRUM, DISC, CAVITY, SUBCUTANEOUS = range(6)
EPIDURAL_FAT, MUSCLE_FAT, RETROPERITONEAL_FAT, NERVE_ROOT, VESSEL, MUSCLE = range(6, 12)

T12 = LEVELS.index("T12")


def ramp(values: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, straight between."""
    return np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)


def capsule(canvas: Canvas, ends: tuple[tuple[float, ...], tuple[float, ...]], radii: tuple[float, float]) -> Array:
    """Distance (mm) to a rod from one (r, a, s) to another whose radius goes from the one to the other of `radii`."""
    start, stop = np.asarray(ends[0], dtype=np.float64), np.asarray(ends[1], dtype=np.float64)
    axis = stop - start
    unit = (axis / (axis @ axis)).astype(np.float32)
    r, a, s = canvas.r - np.float32(start[0]), canvas.a - np.float32(start[1]), canvas.s - np.float32(start[2])
    along = np.clip(r * unit[0] + a * unit[1] + s * unit[2], 0.0, 1.0)
    step = axis.astype(np.float32)
    r, a, s = r - along * step[0], a - along * step[1], s - along * step[2]
    return np.sqrt(r * r + a * a + s * s) - (np.float32(radii[0]) + along * np.float32(radii[1] - radii[0]))


def rod_window(canvas: Canvas, ends: tuple[tuple[float, ...], tuple[float, ...]], radius: float) -> Canvas | None:
    """The part of the plane that may meet a rod."""
    start, stop = np.asarray(ends[0]), np.asarray(ends[1])
    return canvas.window((start + stop) / 2, np.abs(stop - start) / 2 + radius + 2.0)


def paint_belly(canvas: Canvas) -> None:
    """Air, skin and fat of the belly, its muscular wall, bowel in mesenteric fat, the liver; all background."""
    body = canvas.spine.body
    ahead = canvas.between(canvas.extremes("front")[0], canvas.extremes("belly")[1] + 2.0)
    if ahead is None:
        return
    canvas = ahead
    depth = canvas.a - canvas.curve("belly")
    fat_layer = 6.0 + 26.0 * body.fat
    canvas.paint(depth, canvas.grain("fat", 0.05, 0.05), BACKGROUND)
    if canvas.crisp:
        return  # everything before the retroperitoneum is background
    canvas.paint(np.abs(depth + 1.0) - 1.0, canvas.signal("skin"), None)
    wavy = canvas.noise(5.0, 9)
    wall = depth + fat_layer + 2.0 * wavy
    canvas.paint(wall, canvas.signal("muscle") * 1.1, None)
    inside = wall + 9.0
    mesentery = canvas.grain("fat", 0.10, 0.12) * np.float32(0.85)
    loops, loose = canvas.noise(2.1, 3), canvas.noise(3.4, 4)
    wall_part = ramp(loops, 0.35 + 0.5 * body.fat, 0.6 + 0.5 * body.fat)
    content = ramp(loops, 0.9 + 0.5 * body.fat, 1.15 + 0.5 * body.fat)
    gas = ramp(loose, 0.95, 1.25) * content
    value = mesentery + wall_part * (canvas.signal("bowel wall") - mesentery)
    filling = canvas.signal("bowel content") * (0.75 + 0.35 * loose)
    value += content * (filling - value)
    value -= 0.93 * gas * value
    if float(canvas.s.max()) > 30.0:
        liver = ramp(canvas.s - 12.0 * wavy + 0.5 * canvas.r, 70.0, 76.0)
        value += liver * (canvas.grain("liver", 0.06) - value)
    canvas.paint(inside, value, None)


def paint_retroperitoneum(canvas: Canvas) -> None:
    """The fat before and beside the spine, psoas, diaphragm crura."""
    region = canvas.between(
        canvas.extremes("rear")[0] - 20.0,
        canvas.extremes("front")[1] + 1.9 * canvas.extremes("retroperitoneal")[1] + 5.0,
    )
    if region is None:
        return
    canvas = region
    edge = canvas.noise(4.0, 11)
    ahead = canvas.a - canvas.curve("front")
    thickness = canvas.curve("retroperitoneal") * (1.0 + np.float32(0.28) * edge) + np.float32(2.5)
    distance = (ahead - thickness) * canvas.curve("cosine")
    value = canvas.grain("fat", 0.10, 0.08)
    if not canvas.crisp:
        # strands and small vessels
        strands = ramp(canvas.noise((0.9, 0.9, 2.4), 13), 1.1, 1.7)
        value = value * (1.0 - np.float32(0.55) * strands)
    canvas.paint(distance, value, RETROPERITONEAL_FAT)

    bones, size = canvas.spine.vertebrae, canvas.spine.body.size
    levels = [bone.superior for bone in bones[T12 : S1 + 2]][::-1]

    def course(values: list[float]) -> Array:
        return np.interp(canvas.s, levels, values[::-1]).astype(np.float32)

    beside = np.abs(canvas.p)
    if float(beside.max()) > 18.0:
        middle = course([24, 26, 29, 32, 36, 40, 45, 52])  # T12 … S2
        width = course([1, 5, 8.5, 12, 15, 17, 17, 15])
        length = course([1, 7, 11, 15, 18, 20, 18, 16])
        forward = course([-14, -12, -10, -8, -5, 2, 14, 26])
        across = (beside - middle * np.float32(size)) / (width * np.float32(size))
        ahead_of = (canvas.a - canvas.curve("front") + np.float32(17 * size) - forward - 8) / (
            length * np.float32(size)
        )
        psoas = (np.sqrt(across * across + ahead_of * ahead_of) - 1.0) * width
        part = ramp(canvas.noise((0.5, 0.5, 3.5), 17), 1.9, 2.3)
        muscle = canvas.grain("muscle", 0.06, 0.05)
        canvas.paint_mixture(psoas, part, (muscle, canvas.signal("fat")), (MUSCLE, MUSCLE_FAT))
    crus_end = bones[L3].superior
    if float(canvas.s.max()) > crus_end and float(beside.min()) < 14.0:
        thick = np.float32(2.9) * ramp(canvas.s, crus_end, crus_end + 55.0) + np.float32(0.01)
        crus = (np.sqrt(((beside - 6.0) / 7.0) ** 2 + ((ahead - 2.2) / thick) ** 2) - 1.0) * thick
        canvas.paint(np.maximum(crus, crus_end - canvas.s), canvas.signal("muscle"), MUSCLE)


def paint_vessels(canvas: Canvas) -> None:
    """Aorta to the left and vena cava to the right of the middle, and the common iliac vessels they part into."""
    bones, size = canvas.spine.vertebrae, canvas.spine.body.size
    fork = bones[L3 + 1].superior - 6.0  # the aorta parts at L4, the vena cava begins at L5
    gap = 3.0 + 3.0 * canvas.spine.body.fat
    region = canvas.between(canvas.extremes("front")[0] - 6.0, canvas.extremes("front")[1] + 50.0)
    if region is None:
        return
    canvas = region
    p, ahead = canvas.p, (canvas.a - canvas.curve("front")) * canvas.curve("cosine")
    tubes: list[tuple[str, Canvas, Array]] = []
    for kind, right, radius, ends in (("aorta", -7.0, 8.6, fork), ("vein", 13.5, 9.6, fork - 18.0)):
        across, along = p - right * size, ahead - (gap + radius * size + (3.0 if kind == "vein" else 0.0))
        below = np.maximum(np.float32(ends) - canvas.s, 0.0)
        tubes.append((kind, canvas, np.sqrt(across**2 + along**2 + below**2) - np.float32(radius * size)))
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
        where = rod_window(canvas, (start, stop), max(radii) * size)
        if where is not None:
            tubes.append((kind, where, capsule(where, (start, stop), (radii[0] * size, radii[1] * size))))
    # what flow out of the slice leaves of the blood's signal; walls first, so that tubes open into each other
    flowing = {"aorta": 0.10, "vein": 0.22}
    for kind in ("vein", "aorta"):
        for where, distance in [(w, d) for k, w, d in tubes if k == kind]:
            where.paint(distance, where.signal("muscle") * 0.9, VESSEL)
        for where, distance in [(w, d) for k, w, d in tubes if k == kind]:
            where.paint(distance + 1.1, where.signal("blood") * flowing[kind], None)


def paint_back(canvas: Canvas) -> None:
    """The muscles behind the spine with their fat, the interspinous tissue, the fascia, fat and skin of the back."""
    body = canvas.spine.body
    low, high = (
        canvas.extremes("fascia")[0] - canvas.extremes("subcutaneous")[1] - 8.0,
        canvas.extremes("rear")[1] + 8.0,
    )
    canvas.pixels[canvas.a < low + 2.0] = BACKGROUND  # air behind the back
    region = canvas.between(low, high)
    if region is None:
        return
    canvas = region
    p = canvas.p
    beside = np.abs(p)
    rear, cosine, fascia = canvas.curve("rear"), canvas.curve("cosine"), canvas.curve("fascia")
    behind = (rear - canvas.a) * cosine
    # to the sides the muscles of a person lying down bulge further back than the row of spinous processes
    fascia = fascia - np.float32(4.0) * ramp(beside, 3.0, 16.0) + np.float32(5.0) * ramp(beside, 26.0, 60.0)
    lumbar = canvas.curve("lumbar")

    streaks = canvas.noise((0.42, 0.5, 3.6), 21) + np.float32(0.5) * canvas.noise((1.5, 1.6, 5.0), 23)
    deep = ramp(behind, 46.0, 14.0)  # fat gathers deep, by the laminae and facets, and low down
    excess = np.float32(0.25 + 1.25 * body.muscle_fat) * (0.35 + lumbar) + np.float32(0.55) * deep * ramp(
        beside, 26.0, 5.0
    )
    part = ramp(streaks + excess, 1.55, 2.15)
    muscle = canvas.grain("muscle", 0.06, 0.06)
    fat = canvas.signal("fat")
    canvas.paint_mixture(
        -behind - 3.0 + 0.35 * np.maximum(beside - 24.0, 0.0), part, (muscle, fat), (MUSCLE, MUSCLE_FAT)
    )

    # between the spinous processes: fat with the fibres of the interspinous ligament
    if float(beside.min()) < 6.0:
        fibres = canvas.noise((0.6, 2.2, 0.8), 27) + np.float32(0.25 - 0.5 * body.muscle_fat)
        middle = np.maximum(beside - 4.2, 12.0 - behind)
        ligament = canvas.signal("ligament") + 0.22 * fat  # its fibres run in fat
        part = ramp(fibres, 0.45, -0.15)
        canvas.paint_mixture(middle, part, (ligament, np.float32(0.8 * fat)), (BACKGROUND, MUSCLE_FAT))
        supraspinous = np.maximum(beside - 4.5, np.abs(canvas.a - fascia - 1.0) - 1.3)
        canvas.paint(supraspinous, canvas.signal("ligament"), BACKGROUND)

    layer = (canvas.a - fascia) * cosine
    value = canvas.grain("fat", 0.03, 0.05)
    if not canvas.crisp:
        septa = np.abs(canvas.noise((3.0, 1.1, 4.0), 29))
        value = value * (1.0 - np.float32(0.30) * ramp(septa, 0.10, 0.02))
    canvas.paint(layer, value, SUBCUTANEOUS)
    canvas.paint(np.abs(layer) - 0.55, canvas.signal("ligament"), None)
    skin = canvas.a - fascia + canvas.curve("subcutaneous") + np.float32(0.8) * canvas.noise(9.0, 31)
    canvas.paint(skin - 1.9, canvas.signal("skin"), None)
    canvas.paint(skin, 0.0, BACKGROUND)


def paint_epidural_fat(canvas: Canvas) -> None:
    """The fat that fills the bony canal around the thecal sac, and the foramina around the roots."""
    region = canvas.between(canvas.extremes("rear")[0] - 26.0, canvas.extremes("rear")[1] + 2.0)
    if region is not None:
        _paint_canal(region)
    size = canvas.spine.body.size
    for upper in canvas.spine.vertebrae[: S1 + 2]:
        low = 0.55 if upper.sacral else 0.42
        for side in (-1.0, 1.0):
            right = upper.right + side * (18.5 if upper.sacral else upper.pedicle + 2.0) * size
            a, s = upper.place(-upper.depth / 2 - (1.0 if upper.sacral else 5.6) * size, -low * upper.height)
            where = canvas.window((right, a, s), (10.0 * size, 18.0 * size, 18.0 * size))
            if where is None:
                continue
            ahead, up = where.a - np.float32(a), where.s - np.float32(s)
            sine, cosine = np.float32(np.sin(upper.tilt)), np.float32(np.cos(upper.tilt))
            q, z = ahead * cosine - up * sine, ahead * sine + up * cosine
            # a keyhole: wide under the pedicle, narrow behind the disc
            tall, wide = (6.5, 6.0) if upper.sacral else (0.40 * upper.height + 1.0, 6.4)
            width = np.float32(wide * size) * (1.0 + 0.22 * np.clip(z / tall, -1.0, 1.0))
            hole = (np.sqrt((q / width) ** 2 + (z / np.float32(tall)) ** 2) - 1.0) * 5.0
            hole = np.maximum(hole, np.abs(where.r - np.float32(right)) - 9.0 * size)
            where.paint(hole, where.grain("fat", 0.06), EPIDURAL_FAT)


def _paint_canal(canvas: Canvas) -> None:
    beside = np.abs(canvas.p)
    if float(beside.min()) < 16.0:
        behind = (canvas.curve("rear") - canvas.a) * canvas.curve("cosine")
        # the dorsal pads are triangles in the axial plane: deepest in the midline
        bony = canvas.curve("sac_gap") + 2.0 * canvas.curve("sac_depth") + 1.0
        depth = bony + (canvas.curve("canal") - bony) * (1.0 - ramp(beside, 1.5, 9.5))
        canal = np.maximum(np.maximum(-behind, behind - depth), beside - canvas.curve("sac_width") - 2.6)
        end = canvas.spine.vertebrae[-1].superior
        canvas.paint(np.maximum(canal, end - canvas.s), canvas.grain("fat", 0.05), EPIDURAL_FAT)


def paint_sac(canvas: Canvas) -> None:
    """The thecal sac: cerebrospinal fluid with cord, conus and cauda equina."""
    region = canvas.between(canvas.extremes("rear")[0] - 26.0, canvas.extremes("rear")[1] + 2.0)
    if region is None:
        return
    canvas = region
    beside = np.abs(canvas.p)
    if float(beside.min()) > 13.0:
        return
    gap, radius, width = canvas.curve("sac_gap"), canvas.curve("sac_depth"), canvas.curve("sac_width")
    behind = (canvas.curve("rear") - canvas.a) * canvas.curve("cosine") - gap - radius
    safe, safe_width = np.maximum(radius, 0.3), np.maximum(width, 0.3)
    across, depth = beside / safe_width, behind / safe
    distance = (np.sqrt(across * across + depth * depth) - 1.0) * safe + ramp(radius, 2.0, 0.3) * 4.0
    if canvas.crisp:
        canvas.paint(distance, 0.0, CAVITY)
        return
    fluid, nerve, cord = canvas.signal("cerebrospinal fluid"), canvas.signal("nerve"), canvas.signal("cord")
    # lying on the back, the roots of the cauda equina rest on the posterior wall
    strands = canvas.noise((0.30, 0.22, 7.0), 33)
    reach = canvas.curve("roots")
    bundle = ramp(depth + 0.30 * strands + 2.0 * reach, 0.85, 1.25)
    value = fluid + np.float32(0.72) * bundle * ramp(strands, -0.9, 0.6) * (nerve - fluid)
    stem = canvas.curve("cord")
    core = np.sqrt((beside / (5.0 * stem + 0.05)) ** 2 + ((behind - 0.8) / (4.1 * stem + 0.05)) ** 2)
    value += ramp(core, 1.12, 0.88) * ramp(stem, 0.05, 0.3) * (cord - value)
    canvas.paint(distance + 0.0, canvas.signal("ligament"), None)  # dura
    canvas.paint(distance + 0.6, value, None)


def paint_roots(canvas: Canvas) -> None:
    """The nerve roots from the lateral recess through the foramen, with the ganglion under the pedicle."""
    size = canvas.spine.body.size
    for bone in canvas.spine.vertebrae[: S1 + 2]:
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
                where = rod_window(canvas, ends, max(radii) * size)
                if where is None:
                    continue
                distance = capsule(where, ends, (radii[k] * size, radii[k + 1] * size))
                where.paint(distance, where.signal("nerve"), NERVE_ROOT)
