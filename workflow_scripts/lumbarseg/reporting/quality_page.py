"""The page that shows every session: pictures, facts, and what to look at first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2


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


_TEMPLATE = Path(__file__).with_suffix(".html")
