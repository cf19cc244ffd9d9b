"""What a label map measures: areas, volumes, disc heights and signal, fat within muscle.

A table is tidy, one value a row. `DICTIONARY` says what each column and each measure is; it is written beside the tables.
Measures go by the paper's class names (Section 3.1.2); one whose classes are not in the label table is left out.
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
        "Description": "what was measured",
        "Levels": {
            "area": "pixels of the class in the slice times the area of a pixel; that of Spinal-Cavity is the canal's area",
            "volume": "pixels of the class times the area of a pixel times the distance between slices; a row for each slice, "
            "and one for all of them, whose slice is empty",
            "disc_height": "mean height of a disc over the middle four fifths of its length, perpendicular to its long axis",
            "disc_height_anterior": "the same, of the anterior three tenths of the length that come after the first tenth",
            "disc_height_middle": "the same, of the middle fifth of the length",
            "disc_height_posterior": "the same, of the posterior three tenths of the length that come before the last tenth",
            "disc_signal_ratio": "mean T2w signal of a disc over that of the canal (Spinal-Cavity) at the same rows of the "
            "same slice",
            "fat_fraction": "IM-Fat over IM-Fat and Muscle together, by area in a slice and by volume in all slices",
        },
    },
    "class_id": {"Description": "id of the class that was measured, as in the label map"},
    "class_name": {"Description": "its name"},
    "disc": {
        "Description": "discs counted from the lowest one in the image, 1, 2 …; not a vertebral level. Empty for other measures"
    },
    "slice": {
        "Description": "sagittal slices counted from the patient's right, 0, 1 …, whatever the order of the file. Empty: of all "
        "slices; for a disc the median over the slices in which it is at least half as large as in its largest"
    },
    "value": {"Description": "the value, in `unit`"},
    "unit": {"Description": "mm, mm2, ml, or 1 for a ratio"},
}

# A component of the disc class that is smaller than this part of the largest one is a splinter.
_SMALLEST_DISC = 0.2
# Slices in which a disc has less than this part of its largest area show its rim.
_SMALLEST_SECTION = 0.5
# Parts of a disc's length, from anterior (0) to posterior (1), over which heights are averaged.
_PARTS = {
    "disc_height": (0.1, 0.9),
    "disc_height_anterior": (0.1, 0.4),
    "disc_height_middle": (0.4, 0.6),
    "disc_height_posterior": (0.6, 0.9),
}
# Pixels of canal that a signal is compared with, at least.
_FEWEST_REFERENCE_PIXELS = 10


def measure(
    labels: NDArray[np.uint8], t2w: NDArray[Any], spacing: tuple[float, float, float], table: LabelTable
) -> pd.DataFrame:
    """Measure a label map.

    Args:
        labels: (slices, rows, columns) class ids in sagittal view.
        t2w: the same shape, the T2w image's intensities as the scanner gave them.
        spacing: mm between slices, rows, columns.
        table: the label table.

    Returns:
        One value a row, the columns of `COLUMNS`; see `DICTIONARY`. `disc` and `slice` are Int64 with gaps.
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


def separate_discs(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Separate the discs of a mask: its connected parts, without splinters.

    Args:
        mask: (slices, rows, columns) in sagittal view.

    Returns:
        A mask for each disc, from the lowest one in the image upwards.
    """
    parts, number = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    kept = [part for part in range(1, number + 1) if sizes[part - 1] >= _SMALLEST_DISC * sizes.max()]
    heights = ndimage.center_of_mass(mask, parts, kept) if kept else []
    return [parts == part for part, _ in sorted(zip(kept, heights, strict=True), key=lambda one: -one[1][1])]


def _discs(
    mask: NDArray[np.bool_],
    canal: NDArray[np.bool_],
    t2w: NDArray[Any],
    spacing: tuple[float, float, float],
    tissue: int,
) -> Iterator[Row]:
    for number, disc in enumerate(separate_discs(mask), start=1):
        areas = disc.sum(axis=(1, 2))
        found: dict[str, list[float]] = {}
        for plane in np.flatnonzero(areas >= _SMALLEST_SECTION * areas.max()).tolist():
            values = disc_heights(disc[plane], spacing[1:])
            ratio = _signal_ratio(disc[plane], canal[plane], t2w[plane])
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

    The long axis is the first principal axis of the section's pixels in millimetres, so a tilted disc measures as a level one.

    Args:
        section: (rows, columns), the disc's pixels; columns from anterior to posterior.
        spacing: mm between rows and between columns.

    Returns:
        mm: `disc_height` and its anterior, middle and posterior parts (see `DICTIONARY`).
    """
    places = np.argwhere(section) * spacing
    centred = places - places.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    along = centred @ (axes[:, 1] * (1 if axes[1, 1] >= 0 else -1))
    # A pixel's own width lies on either side of its middle.
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
