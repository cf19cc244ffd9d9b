"""Quality control of images: brightness, noise, and registrations that should be checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbarseg.imaging.registration.similarity import describe_uncovered

# Outliers lie this many robust standard deviations (1.4826 times the median deviation) from the median of the study.
_OUTLYING = 3.5
_FEWEST = 8  # with fewer sessions there are no outliers
_TOLERATED_MM = 1.0  # corner displacements this close to the median are no outliers
_TOLERATED_NATS = 0.05


def registration_table(reports: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Make a table of the reports of all registrations, with flags on unusual ones.

    Args:
        reports: by session (`sub-<p>_ses-<s>`), the report of `registration.session.register`.

    Returns:
        One row per session: session, engine, degrees_of_freedom, shift_mm, rotation_degrees, corner_displacement_mm, before
        and after (mutual information, nats), overlap_before, overlap_after (fractions of the T2w image), seconds, flag
        (empty, or the reasons to check the registration), and uncovered (the sides of the T2w image that the T1w image used
        does not cover, and how far, in mm; empty if it covers all).
    """
    table = pd.DataFrame(
        {
            "session": session,
            "engine": report["engine"],
            "degrees_of_freedom": report["degrees_of_freedom"],
            "shift_mm": report["shift_length_mm"],
            "rotation_degrees": report["rotation_degrees"],
            "corner_displacement_mm": report["corner_displacement_mm"],
            "before": report["before"]["mutual_information"],
            "after": report["after"]["mutual_information"],
            "overlap_before": report["before"]["overlap"],
            "overlap_after": report["after"]["overlap"],
            "seconds": report["seconds"],
        }
        for session, report in reports.items()
    )
    far = _beyond(table["corner_displacement_mm"], _TOLERATED_MM)
    unlike = _beyond(-table["after"], _TOLERATED_NATS)
    flags = []
    for place, report in enumerate(reports.values()):
        reasons = (
            [f"registration rejected, header geometry used: {report['reason']}"]
            if report["fell_back_to_header"]
            else []
        )
        reasons += ["unusual shift or rotation"] if report["unusual"] and not reasons else []
        reasons += ["larger displacement than in other sessions"] if far[place] and not reasons else []
        reasons += ["lower similarity than in other sessions"] if unlike[place] else []
        reasons += report.get("remarks", ())
        flags.append("; ".join(reasons))
    table["flag"] = flags
    table["uncovered"] = [describe_uncovered(report.get("uncovered_mm", {})) for report in reports.values()]
    return table


def _beyond(values: pd.Series, tolerated: float) -> list[bool]:
    """Return which values exceed the median by more than is usual in the study and by more than is tolerated."""
    if len(values) < _FEWEST:
        return [False] * len(values)
    above = values - values.median()
    return (above > max(tolerated, _OUTLYING * 1.4826 * above.abs().median())).tolist()


def brightness_and_noise(voxels: NDArray[Any]) -> tuple[float, float]:
    """Measure brightness and noise for the selection of sessions (Section 3.1.1).

    The body is everything brighter than a tenth of the bright level (the 99.5th percentile). Noise is estimated from
    second differences of neighbours (Immerkær 1996, doi 10.1006/cviu.1996.0060), by their median, so that edges have no
    influence.

    Args:
        voxels: (slices, rows, columns), the sagittal view of one channel, any real dtype.

    Returns:
        Brightness: the median of the body divided by the bright level, 0 … 1. Noise: its standard deviation divided by the
        median of the body. Both are NaN if there is no body.
    """
    values = voxels.astype(np.float32)
    bright = float(np.percentile(values, 99.5))
    inside = values > 0.1 * bright
    if bright <= 0 or not inside.any() or min(values.shape[1:]) < 3:
        return float("nan"), float("nan")
    level = float(np.median(values[inside]))
    differences = np.diff(np.diff(values, n=2, axis=1), n=2, axis=2)
    flat = np.abs(differences[inside[:, 1:-1, 1:-1]])
    # the mask [1 −2 1; −2 4 −2; 1 −2 1] amplifies the standard deviation of noise six times
    noise = float(np.median(flat)) / 0.6745 / 6 if flat.size else float("nan")
    return level / bright, noise / level
