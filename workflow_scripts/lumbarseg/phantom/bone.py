"""Painting of vertebrae, discs and sacrum."""

from dataclasses import replace

import numpy as np

from lumbarseg.phantom.raster import Array, PlaneRaster, Value
from lumbarseg.phantom.soft_tissue import ARCH, DISC, MUSCLE, RETROPERITONEAL_FAT, SACRUM, VERTEBRA, ramp
from lumbarseg.phantom.spine import LEVELS, Disc, Vertebra

Frame = tuple[Array, Array, Array]


def frame(raster: PlaneRaster, bone: Vertebra) -> Frame:
    """Return the coordinates p, q, z of the pixels in a vertebra's frame, mm."""
    sine, cosine = np.float32(np.sin(bone.tilt)), np.float32(np.cos(bone.tilt))
    ahead, up = raster.a - np.float32(bone.anterior), raster.s - np.float32(bone.superior)
    return raster.r - np.float32(bone.right), ahead * cosine - up * sine, ahead * sine + up * cosine


def box(across: Array, along: Array, rounding: float) -> Array:
    """Return the distance to a rounded rectangle from the distances to its two pairs of sides."""
    x, y = across + np.float32(rounding), along + np.float32(rounding)
    outside = np.sqrt(np.maximum(x, 0.0) ** 2 + np.maximum(y, 0.0) ** 2)
    return outside + np.minimum(np.maximum(x, y), 0.0) - np.float32(rounding)


def plate(v: Array, z: Array, ends: tuple[float, float, float, float], thickness: tuple[float, float]) -> Array:
    """Return the distance in the sagittal plane to a bar between two points (v, z) with linearly changing half thickness."""
    step_v, step_z = np.float32(ends[2] - ends[0]), np.float32(ends[3] - ends[1])
    v, z = v - np.float32(ends[0]), z - np.float32(ends[1])
    along = np.clip((v * step_v + z * step_z) / (step_v**2 + step_z**2), 0.0, 1.0)
    v, z = v - along * step_v, z - along * step_z
    return np.sqrt(v * v + z * z) - (np.float32(thickness[0]) + along * np.float32(thickness[1] - thickness[0]))


def body_distance(bone: Vertebra, p: Array, q: Array, z: Array) -> Array:
    """Return the distance to the surface of a vertebral body: a waisted, rounded block with concave end plates."""
    half = np.float32(bone.height / 2)
    level = np.clip(z / half, -1.2, 1.2)
    waist = np.maximum(1.0 - level * level, 0.0)
    n = np.abs(p) / (np.float32(bone.width / 2) - np.float32(0.0 if bone.sacral else bone.waist) * waist)
    n2 = n * n
    fullness = np.maximum(1.0 - n2 ** np.float32(bone.squareness / 2), 0.0)
    side = np.sqrt(fullness)
    radius = np.float32(bone.depth / 2) + np.float32(bone.taper) * z
    lip = bone.osteophyte * np.maximum(np.abs(level) - 0.72, 0.0) / 0.28
    front = radius * side - np.float32(0.055 * bone.depth) * waist + lip
    if bone.recess and not bone.sacral:
        # Deepest towards the sides, where the psoas arises and segmental vessels run.
        front = front - np.float32(bone.recess) * waist * (np.float32(0.4) + 2.0 * n2)
    rear = radius * np.sqrt(side) - np.float32(0.035 * bone.depth) * waist + 0.4 * lip
    if bone.recess and not bone.sacral:
        rear = rear - np.float32(bone.recess) * waist * n2
    hollow = np.float32(0.0 if bone.sacral else bone.hollow) * np.maximum(1.0 - (q / radius) ** 2, 0.0)
    walls = np.maximum(q - front, -rear - q)
    return np.maximum(box(walls, np.abs(z) - half + hollow, 2.2), (n - 1.0) * np.float32(bone.width / 2))


def marrow(raster: PlaneRaster, fattier: float = 0.0) -> Value:
    """Return the signal of trabecular bone: a patchy mixture of fatty and watery marrow, as in adults.

    Args:
        raster: the plane.
        fattier: how much more fat it has than the marrow of bodies, 0 … 1.
    """
    if raster.is_label_image:
        return 0.0
    part = (
        np.float32(raster.spine.body.marrow_fat + fattier)
        + np.float32(0.07) * raster.noise(2.2, 41)
        + np.float32(0.05) * raster.noise(0.6, 43)
    )
    water, fat = raster.signal("marrow water"), raster.signal("marrow fat")
    # trabeculae are an eighth of the volume and reduce the signal further by susceptibility
    return np.asarray(0.78 * (water + part * (fat - water)), dtype=np.float32)


def paint_bone(raster: PlaneRaster, distance: Array, label: int, cortex: float, filling: Value | None = None) -> None:
    """Paint a bone: dark cortex of `cortex` mm around marrow."""
    raster.paint(distance, raster.signal("bone"), label)
    if not raster.is_label_image:
        raster.paint(distance + np.float32(cortex), marrow(raster) if filling is None else filling, None)


def paint_disc(raster: PlaneRaster, disc: Disc) -> None:
    """Paint a disc: annulus around a nucleus, which darkens and bulges with degeneration."""
    upper, lower = disc.upper, disc.lower
    a0, s0 = upper.place(0.0, -(upper.height + disc.height) / 2)
    wide = max(upper.width, lower.width) / 2 + 4.0
    where = raster.window(
        (upper.right, a0, s0), (wide, 0.62 * upper.depth + 6.0, 0.4 * upper.depth + disc.height + 6.0)
    )
    if where is None:
        return
    p, q1, z1 = frame(where, upper)
    _, q2, z2 = frame(where, lower)
    below, above = -z1 - np.float32(upper.height / 2), z2 - np.float32(lower.height / 2)
    total = np.maximum(below + above, 0.5)
    level = (above - below) / total  # −1 at the lower, +1 at the upper end plate
    rear_upper = upper.depth / 2 - upper.taper * upper.height / 2
    rear_lower = lower.depth / 2 + lower.taper * lower.height / 2
    radius = np.float32((rear_upper + rear_lower) / 2)
    q = (q1 + q2) / 2 - np.float32((rear_lower - rear_upper) * 0.0)
    n = np.abs(p) / np.float32(min(upper.width, 58.0) / 2)
    n2 = n * n
    side = np.sqrt(np.maximum(1.0 - n2 * n2 * n2, 0.0))
    bulge = np.float32(disc.bulge) * (1.0 - np.minimum(level * level, 1.0))
    edge = np.abs(q) - radius * np.sqrt(side) - bulge
    if upper.sacral:
        gap = np.maximum(-below, -above) - 0.2
        where.paint(np.maximum(np.maximum(edge + 1.5, gap), np.abs(p) - 20.0), where.signal("annulus") * 0.8, SACRUM)
        return
    # end plates are concave, so the disc extends 2.5 mm into the vertebrae that are painted over it
    distance = np.maximum(box(edge, np.maximum(-below, -above) - 2.5, 2.0), (n - 1.0) * np.float32(upper.width / 2))
    if where.is_label_image:
        where.paint(distance, 0.0, DISC)
        return
    annulus, healthy, worn = (where.signal(name) for name in ("annulus", "nucleus", "degenerate nucleus"))
    core = worn + (healthy - worn) * max(0.0, 1.0 - 1.25 * disc.degeneration)
    centred = (q / radius + np.float32(0.06)) / np.float32(0.74)
    inner = centred * centred * centred * centred + (level / 0.95) ** 2 * 0.55 + (p / (0.72 * upper.width / 2)) ** 4
    share = ramp(inner, 1.05, 0.35)
    # the intranuclear cleft is fibrous
    cleft = np.exp(-((level / 0.22) ** 2)) * ramp(np.abs(centred), 0.9, 0.5)
    share = share * (1.0 - np.float32(0.42) * cleft)
    outer = ramp(np.abs(q) / radius, 0.72, 0.96)
    rim = annulus * (1.0 - np.float32(0.55) * outer)
    value = rim + share * (core - rim)
    value = value * (1.0 + np.float32(0.06) * where.noise(0.8, 47))
    where.paint(distance, value.astype(np.float32), DISC)


def _body(raster: PlaneRaster, bone: Vertebra) -> tuple[PlaneRaster, Frame, Array] | None:
    """Return the window of a vertebral body, its frame there, and the distance to its surface."""
    half = (bone.width / 2 + 2.0, 0.72 * bone.depth + 6.0, 0.62 * bone.height + 0.4 * bone.depth)
    where = raster.window((bone.right, bone.anterior, bone.superior), half)
    if where is None:
        return None
    inner = frame(where, bone)
    return where, inner, body_distance(bone, *inner)


def _arch(raster: PlaneRaster, bone: Vertebra) -> tuple[PlaneRaster, Array] | None:
    """Return the window of a vertebral arch with its processes, and the distance to its surface."""
    size, height = raster.spine.body.size, bone.height
    reach = bone.canal + bone.spinous + 16.0
    a0, s0 = bone.place(-bone.depth / 2 - reach / 2, -0.35 * height)
    where = raster.window((bone.right, a0, s0), (42.0 * size, reach / 2 + 8.0, 1.12 * height + 6.0))
    if where is None:
        return None
    p, q, z = frame(where, bone)
    v = -q - np.float32(bone.depth / 2)
    lateral = np.abs(p)
    nearest, farthest = float(lateral.min()), float(lateral.max())
    lumbar = bone.level >= LEVELS.index("L1")
    parts = []
    if nearest < 15.0 * size:  # laminae: roof-shaped, highest in the midline
        roof = bone.canal + 3.0
        lean = v + np.float32(0.42) * np.maximum(lateral - 2.0, 0.0)
        lamina = plate(lean, z, (roof, -0.02 * height, roof + 4.5, -0.62 * height), (2.6, 3.4))
        parts.append(np.maximum(lamina, lateral - 14.0 * size))
    if nearest < bone.pedicle + 9.0 * size:
        # the pedicle extends into the body, so that their marrow is continuous
        walls = np.maximum(np.abs(z - 0.18 * height) - 0.27 * height, np.abs(lateral - bone.pedicle) - 4.6 * size)
        parts.append(box(np.abs(v - 4.5 * size) - 9.5 * size, walls, 2.5))
        upper = plate(v, z, (13.2 * size, 0.05 * height, 14.2 * size, 0.66 * height), (5.0 * size, 3.6 * size))
        parts.append(np.maximum(upper, np.abs(lateral - bone.pedicle - 2.0) - 6.0 * size))
        isthmus = plate(v, z, (14.0 * size, 0.1 * height, 19.0 * size, -0.42 * height), (4.6 * size, 4.2 * size))
        lower = plate(v, z, (19.0 * size, -0.42 * height, 23.5 * size, -1.02 * height), (4.4 * size, 3.6 * size))
        parts.append(np.maximum(np.minimum(isthmus, lower), np.abs(lateral - bone.pedicle + 1.5) - 6.5 * size))
    if lumbar and farthest > 20.0 * size:
        transverse = np.sqrt(((v - 9.0 * size) / 3.4) ** 2 + ((z - 0.12 * height) / 5.6) ** 2) * 4.0 - 4.0 * size
        parts.append(np.maximum(transverse, np.maximum(20.0 * size - lateral, lateral - 41.0 * size)))
    if nearest < 6.0:  # the spinous process: hatchet-shaped, deeper and thicker at its end
        start, fall = bone.canal + 5.0, (0.30 if lumbar else 0.75)
        top = -0.34 * height
        half = bone.spinous_height / 2 * (0.62 if lumbar else 0.5)
        # The more people differ, the rounder the end.
        end = bone.spinous * 0.86 - raster.spine.body.variety * max(1.18 * half - 0.14 * bone.spinous, 0.0)
        ends = (start, top, start + end, top - fall * 0.5 * bone.spinous)
        spinous = plate(v, z, ends, (half * 0.9, half * 1.18))
        # flat at the end, where the bar would be round
        spinous = np.maximum(spinous, v - np.float32(start + bone.spinous))
        parts.append(np.maximum(spinous, lateral - np.float32(3.5 * size) - 0.045 * np.maximum(v - start, 0.0)))
    if not parts:
        return None
    distance = parts[0]
    for part in parts[1:]:
        np.minimum(distance, part, out=distance)
    return where, distance


def paint_vertebra(raster: PlaneRaster, bone: Vertebra) -> None:
    """Paint body and arch of a vertebra as one bone: first the cortex, then the marrow, last the basivertebral vein."""
    arch, body = _arch(raster, bone), _body(raster, bone)
    if raster.is_label_image:
        for part, label, inset in ((arch, ARCH, 0.0), (body, VERTEBRA, bone.inset)):
            if part is not None:
                part[0].paint(part[-1] + np.float32(inset), 0.0, label)
        return
    for part, label in ((arch, ARCH), (body, VERTEBRA)):
        if part is not None:
            part[0].paint(part[-1], raster.signal("bone"), label)
    for part, cortex, fattier in ((arch, 0.9, raster.spine.arch_fat), (body, 1.0, 0.0)):
        if part is not None:
            part[0].paint(part[-1] + np.float32(cortex), marrow(part[0], fattier), None)
    if body is None:
        return
    where, (p, q, z), distance = body
    if float(np.abs(p).min()) > 8.0:
        return
    ahead = q + np.float32(bone.depth / 2)
    vein = np.maximum(np.abs(z) - 2.3 + 0.13 * ahead, np.maximum(ahead - 12.0, np.abs(p) - 7.5))
    mixed = 0.5 * (where.signal("fat") + 0.8 * where.signal("blood"))
    where.paint(np.maximum(vein, distance), mixed, None)


def paint_sacral_segment(raster: PlaneRaster, bone: Vertebra) -> None:
    """Paint the body of a sacral segment and the structures behind it."""
    paint_sacral_wings(raster, bone)
    found = _body(raster, bone)
    if found is not None:
        paint_bone(found[0], found[2], SACRUM, 1.0)


def paint_sacral_wings(raster: PlaneRaster, bone: Vertebra) -> None:
    """Paint lateral masses, plate and crest of a sacral segment."""
    size = raster.spine.body.size
    a0, s0 = bone.place(-bone.depth / 2 - 10.0, 0.0)
    where = raster.window((bone.right, a0, s0), (bone.width / 2 + 2.0, 34.0, bone.height + 8.0))
    if where is None:
        return
    p, q, z = frame(where, bone)
    v = -q - np.float32(bone.depth / 2) - np.float32(bone.taper) * z * (-1.0)
    lateral = np.abs(p)
    ends = np.abs(z) - np.float32(0.54 * bone.height)
    thick = (bone.canal + 4.0) * (1.0 if bone.level <= 12 else 0.8)
    mass = box(np.abs(v - thick / 2 + 3.0) - thick / 2 - 2.0, ends, 3.0)
    mass = np.maximum(mass, np.maximum(13.0 * size - lateral, lateral - bone.width / 2 + 3.0))
    roof = bone.canal + 4.2
    lean = v + np.float32(0.30) * lateral
    crest = np.maximum(np.abs(lean - roof) - (3.4 + 1.6 * np.cos(z * (3.0 / bone.height))), ends)
    crest = np.maximum(crest, lateral - 14.0 * size)
    paint_bone(where, np.minimum(mass, crest), SACRUM, 1.0)


def paint_paravertebral_tissue(raster: PlaneRaster, bone: Vertebra) -> None:
    """Paint what fills the hollow at the sides of a vertebral body: fat, the origin of the psoas, and segmental vessels.

    Its mixture is often as bright as marrow, so that the side wall is hard to see in slices near the end of the body.
    """
    thickness, fat = raster.spine.paravertebral
    half = (bone.width / 2 + 6.0, 0.72 * bone.depth + 6.0, 0.62 * bone.height + 0.4 * bone.depth)
    where = raster.window((bone.right, bone.anterior, bone.superior), half)
    if where is None:
        return
    p, q, z = frame(where, bone)
    lateral = np.abs(p)
    if float(lateral.max()) < 0.25 * bone.width:
        return
    hull = body_distance(replace(bone, waist=0.0, recess=0.0, osteophyte=0.0), p, q, z) - np.float32(thickness)
    ends = np.abs(z) - np.float32(bone.height / 2)
    region = np.maximum(np.maximum(hull, ends), np.float32(0.25 * bone.width) - lateral)
    # Not in the foramina behind the body.
    region = np.maximum(region, -q - np.float32(0.45 * bone.depth))
    part = np.float32(fat) + np.float32(0.22) * where.noise(1.6, 61) + np.float32(0.12) * where.noise(0.6, 63)
    tissues = (where.grain("muscle", 0.06), where.grain("fat", 0.08))
    where.paint_mixture(region, np.clip(part, 0.0, 1.0), tissues, (MUSCLE, RETROPERITONEAL_FAT))
    # Segmental artery and vein run around the body at mid-height.
    vessel = np.abs(z + np.float32(0.08 * bone.height)) - 1.2
    where.paint(np.maximum(vessel, region), 0.4 * where.signal("blood") + 0.2 * where.signal("muscle"), None)


def paint_bones(raster: PlaneRaster) -> None:
    """Paint all discs, then all bones over them."""
    if raster.spine.paravertebral[0]:
        for bone in raster.spine.vertebrae:
            if not bone.sacral:
                paint_paravertebral_tissue(raster, bone)
    for disc in raster.spine.discs:
        paint_disc(raster, disc)
    for bone in raster.spine.vertebrae:
        if bone.sacral:
            paint_sacral_segment(raster, bone)
        else:
            paint_vertebra(raster, bone)
