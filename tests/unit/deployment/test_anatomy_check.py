"""Labels that are not those of an adult's lumbar spine."""

import numpy as np
import pytest

from lumbarseg.deployment.anatomy_check import unusual_anatomy
from lumbarseg.labels import LabelTable

NAMES = ("Background", "Vert", "Sacrum", "Spinal-Cavity")
TABLE = LabelTable([{"id": n, "name": name, "colour": "#000000"} for n, name in enumerate(NAMES)], 0)
EXPECTED = {
    "required": ["Vert", "Sacrum", "Spinal-Cavity"],
    "vertebra": "Vert",
    "canal": "Spinal-Cavity",
    "body_area_mm2": [500, 1500],
}


def spine(height, depth, spacing):
    """Three slices of 300 mm; the middle one has six bodies of a size in mm, with smaller processes behind the canal."""
    labels = np.zeros((3, round(300 / spacing[0]), round(200 / spacing[1])), np.uint8)

    def fill(value, rows, columns):
        places = [
            slice(*(round(end / step) for end in ends)) for ends, step in zip((rows, columns), spacing, strict=True)
        ]
        labels[(1, *places)] = value

    for level in range(6):
        top = 20 + 38 * level
        fill(1, (top, top + height), (60, 60 + depth))
        fill(1, (top, top + 8), (130, 150))
    fill(2, (260, 290), (60, 90))
    fill(3, (10, 280), (110, 120))
    return labels


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (1.5, 0.75)])
def test_unusual_anatomy_accepts_an_adult_at_any_pixel_size(spacing):
    assert unusual_anatomy(spine(27, 34, spacing), spacing, TABLE, EXPECTED) == []


@pytest.mark.parametrize(("height", "depth"), [(15, 16), (18, 22)])
def test_unusual_anatomy_says_that_bodies_are_small(height, depth):
    (sentence,) = unusual_anatomy(spine(height, depth, (1.0, 1.0)), (1.0, 1.0), TABLE, EXPECTED)
    assert sentence.startswith(f"vertebral bodies of {height * depth} mm2")


def test_unusual_anatomy_names_classes_that_are_missing():
    labels = spine(27, 34, (1.0, 1.0))
    labels[labels == 2] = 0
    (sentence,) = unusual_anatomy(labels, (1.0, 1.0), TABLE, EXPECTED)
    assert sentence.startswith("no Sacrum found")
