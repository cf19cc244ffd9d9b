"""Measures of a label map: areas, volumes, disc heights and signal, fat within muscle.

Tables are tidy, with one value per row. `DICTIONARY` describes columns and measures; it is written next to the tables.
Measures are found by the paper's class names (Section 3.1.2); those of classes missing in the label table are left out.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from lumbarseg.labels import LabelTable

DISC, CANAL, MUSCLE, MUSCLE_FAT = "Int-Disc", "Spinal-Cavity", "Muscle", "IM-Fat"

COLUMNS = ("measure", "class_id", "class_name", "disc", "slice", "value", "unit")

DICTIONARY: dict[str, Any] = {
    "participant_id": {
        "Description": "the patient's pseudonym, as in the sheet of sessions; only in tables of a batch"
    },
    "session_id": {"Description": "the session, as in the sheet; only in tables of a batch"},
    "measure": {
        "Description": "the measure",
        "Levels": {
            "area": "number of pixels of the class in the slice times the area of a pixel; for Spinal-Cavity, the area of the canal",
            "volume": "number of pixels of the class times the area of a pixel times the distance between slices; one row per "
            "slice, and one for all slices, whose slice is empty",
            "disc_height": "mean height of a disc over the middle four fifths of its length, perpendicular to its long axis",
            "disc_height_anterior": "mean height between one tenth and four tenths of the length, from anterior",
            "disc_height_middle": "mean height over the middle fifth of the length",
            "disc_height_posterior": "mean height between six tenths and nine tenths of the length, from anterior",
            "disc_signal_ratio": "mean T2w signal of a disc divided by that of the canal (Spinal-Cavity) in the same rows of the "
            "same slice",
            "fat_fraction": "IM-Fat divided by IM-Fat and Muscle together, by area in a slice and by volume over all slices",
        },
    },
    "class_id": {"Description": "id of the class, as in the label map"},
    "class_name": {"Description": "name of the class"},
    "disc": {
        "Description": "number of the disc, from 1 for the lowest one in the image; not a vertebral level. Empty for other measures"
    },
    "slice": {
        "Description": "number of the sagittal slice, from 0 at the patient's right, whatever the order of the file. Empty: all "
        "slices; for a disc, the median over the slices in which its area is at least half of its largest area"
    },
    "value": {"Description": "the value, in `unit`"},
    "unit": {"Description": "mm, mm2, ml, or 1 for a ratio"},
}

# A component of the disc class smaller than this fraction of the largest one is a fragment, not a disc.
_SMALLEST_DISC = 0.2
# Components beyond this number are noise; each is measured slice by slice.
_MOST_DISCS = 200
# Slices in which a disc has less than this fraction of its largest area show its rim and are not measured.
_SMALLEST_SECTION = 0.5
# Intervals of a disc's length, from anterior (0) to posterior (1), over which heights are averaged.
_PARTS = {
    "disc_height": (0.1, 0.9),
    "disc_height_anterior": (0.1, 0.4),
    "disc_height_middle": (0.4, 0.6),
    "disc_height_posterior": (0.6, 0.9),
}
# Minimum of canal pixels for a signal ratio.
_FEWEST_REFERENCE_PIXELS = 10


def measure(
    labels: NDArray[np.uint8], t2w: NDArray[Any], spacing: tuple[float, float, float], table: LabelTable
) -> pd.DataFrame:
    """Measure a label map.

    Args:
        labels: (slices, rows, columns) class ids in sagittal view.
        t2w: the T2w image, same shape, intensities of the scanner.
        spacing: mm between slices, rows, columns.
        table: the label table.

    Returns:
        One value per row, with the columns of `COLUMNS` (see `DICTIONARY`). `disc` and `slice` are nullable Int64.
    """
    rows = [*_areas_and_volumes(labels, spacing, table)]
    names = table.names
    if DISC in names:
        canal = labels == names.index(CANAL) if CANAL in names else np.zeros(labels.shape, bool)
        rows += _discs(labels == names.index(DISC), canal, t2w, spacing, names.index(DISC))
    if {MUSCLE, MUSCLE_FAT} <= set(names):
        rows += _fat_fractions(labels == names.index(MUSCLE_FAT), labels == names.index(MUSCLE), names.index(MUSCLE))
    frame = pd.DataFrame(
        [(what, tissue, names[tissue], disc, plane, value, unit) for what, tissue, disc, plane, value, unit in rows],
        columns=list(COLUMNS),
    )
    return frame.astype({"disc": "Int64", "slice": "Int64", "value": float})


Row = tuple[str, int, int | None, int | None, float, str]


def _areas_and_volumes(
    labels: NDArray[np.uint8], spacing: tuple[float, float, float], table: LabelTable
) -> Iterator[Row]:
    pixel = spacing[1] * spacing[2]
    counts = np.stack([np.bincount(plane.ravel(), minlength=len(table)) for plane in labels])
    for tissue in table.foreground_ids:
        for plane, count in enumerate(counts[:, tissue]):
            yield "area", tissue, None, plane, count * pixel, "mm2"
            yield "volume", tissue, None, plane, count * pixel * spacing[0] / 1000, "ml"
        yield "volume", tissue, None, None, counts[:, tissue].sum() * pixel * spacing[0] / 1000, "ml"


def _fat_fractions(fat: NDArray[np.bool_], muscle: NDArray[np.bool_], tissue: int) -> Iterator[Row]:
    fats, muscles = fat.sum(axis=(1, 2)), muscle.sum(axis=(1, 2))
    for plane, (one, other) in enumerate(zip(fats, muscles, strict=True)):
        if one + other:
            yield "fat_fraction", tissue, None, plane, one / (one + other), "1"
    if fats.sum() + muscles.sum():
        yield "fat_fraction", tissue, None, None, fats.sum() / (fats.sum() + muscles.sum()), "1"


def separate_discs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.signedinteger[Any]], list[int]]:
    """Separate the discs of a mask: its connected components, without fragments.

    Args:
        mask: (slices, rows, columns) in sagittal view.

    Returns:
        The numbers of the components, of the mask's shape, 0 outside; and the numbers that are discs, from the lowest one in the
        image upwards; of more than 200, which no spine has, the largest.
    """
    parts, number = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    kept = np.flatnonzero(sizes >= _SMALLEST_DISC * sizes.max(initial=0)) + 1
    if len(kept) > _MOST_DISCS:
        largest = np.argsort(-sizes[kept - 1], kind="stable")[:_MOST_DISCS]
        kept = np.sort(kept[largest])
    heights: list[Any] = list(ndimage.center_of_mass(mask, parts, kept)) if len(kept) else []
    return parts, [part for part, _ in sorted(zip(kept.tolist(), heights, strict=True), key=lambda one: -one[1][1])]


def _discs(
    mask: NDArray[np.bool_],
    canal: NDArray[np.bool_],
    t2w: NDArray[Any],
    spacing: tuple[float, float, float],
    tissue: int,
) -> Iterator[Row]:
    parts, kept = separate_discs(mask)
    boxes = ndimage.find_objects(parts)
    for number, part in enumerate(kept, start=1):
        box = boxes[part - 1]
        disc = np.zeros((box[0].stop - box[0].start, *mask.shape[1:]), bool)
        disc[:, box[1], box[2]] = parts[box] == part
        areas = disc.sum(axis=(1, 2))
        found: dict[str, list[float]] = {}
        for place in np.flatnonzero(areas >= _SMALLEST_SECTION * areas.max()).tolist():
            plane = box[0].start + place
            values = disc_heights(disc[place], spacing[1:])
            ratio = _signal_ratio(disc[place], canal[plane], t2w[plane])
            if ratio is not None:
                values["disc_signal_ratio"] = ratio
            for what, value in values.items():
                found.setdefault(what, []).append(value)
                yield what, tissue, number, plane, value, _unit(what)
        for what, several in found.items():
            yield what, tissue, number, None, float(np.median(several)), _unit(what)


def _unit(what: str) -> str:
    return "1" if what == "disc_signal_ratio" else "mm"


def disc_heights(section: NDArray[np.bool_], spacing: tuple[float, float]) -> dict[str, float]:
    """Measure the heights of a disc in one slice, perpendicular to its long axis.

    The long axis is the first principal axis of the pixels in millimetres, so the result is independent of the disc's tilt.

    Args:
        section: (rows, columns), the disc's pixels; columns from anterior to posterior.
        spacing: mm between rows and between columns.

    Returns:
        Heights in mm: `disc_height` and its anterior, middle and posterior parts (see `DICTIONARY`).
    """
    places = np.argwhere(section) * spacing
    centred = places - places.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    along = centred @ (axes[:, 1] * (1 if axes[1, 1] >= 0 else -1))
    # Pixels extend by half their width beyond their centres.
    pixel = float(np.sqrt(np.prod(spacing)))
    length = np.ptp(along) + pixel
    part = (along - along.min() + pixel / 2) / length
    area = float(np.prod(spacing))
    return {
        name: float(np.count_nonzero((part >= start) & (part < end)) * area / ((end - start) * length))
        for name, (start, end) in _PARTS.items()
    }


def _signal_ratio(disc: NDArray[np.bool_], canal: NDArray[np.bool_], t2w: NDArray[Any]) -> float | None:
    rows = np.flatnonzero(disc.any(axis=1))
    level = np.zeros_like(canal)
    level[rows[0] : rows[-1] + 1] = canal[rows[0] : rows[-1] + 1]
    reference = t2w[level]
    if reference.size < _FEWEST_REFERENCE_PIXELS or reference.mean() <= 0:
        return None
    return float(t2w[disc].mean() / reference.mean())
