"""The page that shows the images of every session, those to check first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from lumbarseg.imaging.series_selection import remarks_of

_TEMPLATE = Path(__file__).with_suffix(".html")


def session_entry(
    session: str, picture: str, series: Mapping[str, Mapping[str, Any]], registrations: pd.DataFrame | None
) -> dict[str, Any]:
    """Describe a session for the page.

    Args:
        session: its label, `sub-<p>_ses-<s>`.
        picture: the picture's file, relative to the page.
        series: by contrast, the content of `…_series.json`: `taken` with series_number and slices, and `remarks`, if it came as
            DICOM.
        registrations: the table `metrics/registration.csv`; flag is an empty text where there is none. None in a study without
            T1w.

    Returns:
        session, picture, details (name and text) and flags (sentences).
    """
    details = {}
    for contrast, chosen in series.items():
        taken = chosen.get("taken")
        details[contrast] = (
            f"series {taken['series_number']}, {taken['slices']} slices" if taken else "the file of the sheet"
        )
    flags = remarks_of(series)
    rows = [] if registrations is None else registrations[registrations["session"] == session].to_dict("records")
    for row in rows:
        details["moved by"] = (
            f"{row['shift_mm']:.2f} mm, {row['rotation_degrees']:.2f}°, corners {row['corner_displacement_mm']:.2f} mm"
        )
        details["mutual information"] = f"{row['before']:.3f} → {row['after']:.3f} nats"
        details["overlap"] = f"{100 * row['overlap_before']:.1f} → {100 * row['overlap_after']:.1f} %"
        if row.get("uncovered"):
            details["not covered by T1w"] = row["uncovered"]
        flags += [row["flag"]] if row["flag"] else []
    return {"session": session, "picture": picture, "details": details, "flags": flags}


def quality_page(study: str, sessions: Sequence[Mapping[str, Any]]) -> str:
    """Render the page: a picture and details of each session, flagged sessions first.

    Args:
        study: the study's name.
        sessions: from `session_entry`.

    Returns:
        The HTML; pictures are loaded when they come into view.
    """
    ordered = sorted(sessions, key=lambda one: (not one["flags"], one["session"]))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        study=study, sessions=ordered, flagged=[one for one in ordered if one["flags"]]
    )
