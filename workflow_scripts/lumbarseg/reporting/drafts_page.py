"""The page of drafts: each session without a mask, those to draw next first, in one file that opens without a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from lumbarseg.reporting.embedding import embedded_picture

FLAG_SEPARATOR = " | "
"""What is between the flags of a session in `drafts/next.csv`."""

_TEMPLATE = Path(__file__).with_suffix(".html")
_LARGE = 50_000
"""Bytes of a PNG above which it is embedded as WebP: a page may show two hundred sessions."""


def drafts_page(
    study: str,
    listed: pd.DataFrame,
    pictures: Mapping[tuple[str, str], Path],
    command: str,
    left_out: Sequence[str],
    made_by: str,
) -> str:
    """Render the page.

    Args:
        study: the study's name.
        listed: the table `drafts/next.csv`, ids as texts; `flags` is an empty text where there are none.
        pictures: by participant_id and session_id, the PNG of the session's slices.
        command: the command line that opens a draft from its folder.
        left_out: names of the classes that drafts do not contain.
        made_by: what made the drafts, see `deployment.bundle.Bundle.title`; empty if there are none.

    Returns:
        The HTML, with the pictures in it.
    """
    sessions: list[dict[str, Any]] = [
        {
            "rank": row["rank"],
            "next": row["next"],
            "label": f"sub-{row['participant_id']}_ses-{row['session_id']}",
            "folder": f"sub-{row['participant_id']}/ses-{row['session_id']}",
            "flags": row["flags"].split(FLAG_SEPARATOR) if row["flags"] else [],
            "picture": embedded_picture(pictures[row["participant_id"], row["session_id"]], _LARGE),
            "details": {
                "score": f"{row['score']:.2f}",
                "uncertainty": "no pixels labelled" if pd.isna(row["uncertainty"]) else f"{row['uncertainty']:.3f} nat",
                "novelty": "nothing to compare with" if pd.isna(row["novelty"]) else f"{row['novelty']:.2f}",
                "pixels labelled": f"{100 * row['labelled_share']:.1f} %",
            },
        }
        for row in listed.to_dict("records")
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        study=study,
        groups={
            "Draw next": [one for one in sessions if one["next"]],
            "Later": [one for one in sessions if not one["next"]],
        },
        sessions=sessions,
        flagged=[one for one in sessions if one["flags"]],
        command=command,
        left_out=left_out,
        made_by=made_by,
    )
