"""Check of labels against what a lumbar spine shows, so that another region or a child is noticed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lumbarseg.labels import LabelTable

LARGEST = 5
"""Regions whose median area is judged: bodies are larger than what else is labelled as vertebra."""


def unusual_anatomy(
    labels: NDArray[np.uint8], spacing: tuple[float, float], table: LabelTable, expected: Mapping[str, Any]
) -> list[str]:
    """Find what labels of an adult's lumbar spine would not show.

    Args:
        labels: (slices, rows, columns) class ids in sagittal view.
        spacing: mm between rows and between columns.
        table: the label table.
        expected: `required`, names of classes that must be found; `body_area_mm2`, the least and greatest median area of the
            largest regions of `vertebra`, in the slice with most of `canal`.

    Returns:
        Sentences for the user.
    """
    found = set(np.unique(labels))
    missing = [name for name in expected["required"] if table.names.index(name) not in found]
    if missing:
        return [f"no {', '.join(missing)} found; check that the series is sagittal and shows the lumbar spine"]
    vertebra, canal = (table.names.index(expected[key]) for key in ("vertebra", "canal"))
    middle = labels[(labels == canal).sum(axis=(1, 2)).argmax()]
    regions, count = ndimage.label(middle == vertebra)
    areas = np.sort(np.bincount(regions.ravel(), minlength=count + 1)[1:])[-LARGEST:] * spacing[0] * spacing[1]
    area, (low, high) = float(np.median(areas)) if count else 0.0, expected["body_area_mm2"]
    if not low <= area <= high:
        return [
            f"vertebral bodies of {area:.0f} mm2 in the middle slice, those of adults have {low:.0f} to {high:.0f}; check that the "
            "series shows the lumbar spine of an adult"
        ]
    return []
