"""Which sessions somebody should look at, and the page that shows every session."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

# Robust standard deviations (1.4826 times the median deviation) from the median of the study.
_OUTLYING = 3.5
_FEWEST = 8  # sessions from which a study has a usual value
_TOLERATED_MM = 1.0  # corner displacements that near to the usual one are no outliers, however alike the others are
_TOLERATED_NATS = 0.05

_TEMPLATE = Path(__file__).with_suffix(".html")


def registration_table(reports: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Put the reports of all registrations side by side, and flag what is not as in the others.

    Args:
        reports: by session (`sub-<p>_ses-<s>`), what `registration.register` reported.

    Returns:
        A row a session: session, engine, degrees_of_freedom, shift_mm, rotation_degrees, corner_displacement_mm, before
        and after (mutual information, nats), overlap_before, overlap_after (shares of the T2w image), seconds, and flag:
        empty, or why somebody should look.
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
        reasons = [f"headers' geometry kept: {report['reason']}"] if report["fell_back_to_header"] else []
        reasons += ["unusual shift or rotation"] if report["unusual"] and not reasons else []
        reasons += ["moved farther than the others"] if far[place] and not reasons else []
        reasons += ["less alike than the others"] if unlike[place] else []
        flags.append("; ".join(reasons))
    table["flag"] = flags
    return table


def _beyond(values: pd.Series, tolerated: float) -> list[bool]:
    """Which values are far above the median, by the spread of the study and by more than is tolerated."""
    if len(values) < _FEWEST:
        return [False] * len(values)
    above = values - values.median()
    return (above > max(tolerated, _OUTLYING * 1.4826 * above.abs().median())).tolist()


def quality_page(study: str, sessions: Sequence[Mapping[str, Any]]) -> str:
    """Make the page: a picture of each session with what is known of it, those to look at first.

    Args:
        study: the study's name.
        sessions: of each: session, picture (relative to the page), flags (sentences; none if it is as expected) and facts
            (name and text).

    Returns:
        The HTML; pictures are loaded when they come into view.
    """
    ordered = sorted(sessions, key=lambda one: (not one["flags"], one["session"]))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        study=study, sessions=ordered, flagged=[one for one in ordered if one["flags"]]
    )
