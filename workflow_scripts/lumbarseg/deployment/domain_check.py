"""Comparison of sessions with the training: spacing, field of view, acquisition times and intensities."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbarseg.atomic_io import read_json
from lumbarseg.geometry import load_image, sagittal_spacing, sagittal_view

_PERCENTILES = (5, 25, 50, 75, 95)
_TIMES = {"RepetitionTime": "s", "EchoTime": "s", "InversionTime": "s", "MagneticFieldStrength": "T"}

# How far outside the training range a value may lie before it is flagged: relative, or absolute by unit.
_RELATIVE_MARGIN = 0.1
_MARGINS = {"z-score": 0.25, "correlation": 0.15}


@dataclass(frozen=True)
class Deviation:
    """A value outside the training range.

    Attributes:
        name: name and unit of the value, such as `field of view height (mm)`.
        value: the value in this session.
        low: smallest value in the training.
        high: largest value in the training.
    """

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3g}, training {self.low:.3g} to {self.high:.3g}"


def session_profile(
    channels: NDArray[np.float32],
    spacing: tuple[float, float, float],
    sidecars: Mapping[str, Mapping[str, Any]],
) -> dict[str, float]:
    """Describe a session by values that can be compared.

    Args:
        channels: (slices, rows, columns, channels) z-scores in sagittal view.
        spacing: mm between slices, rows and columns.
        sidecars: by contrast, in the order of the channels, the sidecar of the converted image (times in seconds); missing
            fields are left out.

    Returns:
        Values by name and unit: spacing and extent in mm, times in s, percentiles of the z-scores of each channel, and the
        correlation of two channels.
    """
    extent = [step * count for step, count in zip(spacing, channels.shape[:3], strict=True)]
    values = {
        "slice spacing (mm)": spacing[0],
        "pixel height (mm)": spacing[1],
        "pixel depth (mm)": spacing[2],
        "stack width (mm)": extent[0],
        "field of view height (mm)": extent[1],
        "field of view depth (mm)": extent[2],
    }
    for place, (contrast, fields) in enumerate(sidecars.items()):
        values |= {
            f"{contrast} {name} ({unit})": float(fields[name])
            for name, unit in _TIMES.items()
            if isinstance(fields.get(name), int | float)
        }
        found = np.percentile(channels[..., place], _PERCENTILES)
        values |= {
            f"{contrast} intensities, {percent}th percentile (z-score)": float(value)
            for percent, value in zip(_PERCENTILES, found, strict=True)
        }
    if len(sidecars) == 2:
        first, second = (channels[..., place].ravel() for place in (0, 1))
        varied = np.ptp(first) > 0 and np.ptp(second) > 0
        values[f"{' and '.join(sidecars)} (correlation)"] = float(np.corrcoef(first, second)[0, 1]) if varied else 0.0
    return {name: round(float(value), 5) for name, value in values.items()}


def profile_of_files(images: Mapping[str, Path], sidecars: Mapping[str, Path]) -> dict[str, float]:
    """Return the `session_profile` of normalised images on the T2w grid and their sidecars, by contrast."""
    loaded = [load_image(path, "normalise") for path in images.values()]
    views = [sagittal_view(image.get_fdata(dtype=np.float32), image.affine) for image in loaded]
    fields = {contrast: read_json(sidecars[contrast]) for contrast in images}
    return session_profile(np.stack(views, axis=-1), sagittal_spacing(loaded[0].affine), fields)


def ranges_of(profiles: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the smallest and largest value of each name over sessions: `{name: [low, high]}`."""
    ranges: dict[str, list[float]] = {}
    for one in profiles:
        for name, value in one.items():
            low, high = ranges.get(name, (value, value))
            ranges[name] = [min(low, value), max(high, value)]
    return ranges


def out_of_range(values: Mapping[str, float], ranges: Mapping[str, Sequence[float]]) -> list[Deviation]:
    """Find the values outside the training ranges.

    The margin is a tenth for lengths and times, 0.25 for z-scores and 0.15 for the correlation.

    Args:
        values: of the session, from `session_profile`.
        ranges: of the training, from `ranges_of`. Names that only one of the two has are not compared.
    """
    found = []
    for name, value in values.items():
        if name not in ranges:
            continue
        low, high = ranges[name]
        margin = next((margin for unit, margin in _MARGINS.items() if f"({unit})" in name), None)
        below, above = (
            (margin, margin) if margin is not None else (_RELATIVE_MARGIN * abs(low), _RELATIVE_MARGIN * abs(high))
        )
        if not low - below <= value <= high + above:
            found.append(Deviation(name, value, low, high))
    return found
