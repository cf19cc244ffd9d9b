"""All registrations of a study at a glance."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lumbarseg.reporting.figures.style import PAGE_WIDTH, new_figure, series_colours, styled
from lumbarseg.reporting.registry import figure


@figure(
    "registration",
    section="Data",
    title="Registration",
    caption="How far each T1w image was moved onto T2w, and the mutual information of the two before and after. Flagged sessions "
    "are named; quality/index.html shows the slices of every session.",
    needs={"sessions": "metrics/registration.csv"},
    when="with_t1w",
)
def figure_registration(sessions: Path, registration_limits: Mapping[str, float]) -> Figure:
    """Draw the overview of registrations."""
    return registration_overview(pd.read_csv(sessions, keep_default_na=False), registration_limits)


@styled
def registration_overview(sessions: pd.DataFrame, limits: Mapping[str, float]) -> Figure:
    """Draw how far each T1w image was moved, and its mutual information with T2w before and after.

    Args:
        sessions: one row per session: session, shift_mm, rotation_degrees, before and after (mutual information, nats), flag
            (empty where there is none).
        limits: `unusual_shift_mm` and `unusual_rotation_deg`, drawn as lines.
    """
    figure = new_figure(PAGE_WIDTH, 2.9)
    moved, similarity = figure.subplots(
        1, 2, gridspec_kw={"left": 0.07, "right": 0.98, "bottom": 0.15, "top": 0.9, "wspace": 0.25}
    )
    usual, unusual, *_ = series_colours(2)
    flagged = sessions["flag"].ne("")
    for chosen, colour, name in ((~flagged, usual, "as expected"), (flagged, unusual, "flagged")):
        rows = sessions[chosen]
        moved.scatter(
            rows["shift_mm"], rows["rotation_degrees"], s=14, color=colour, alpha=0.8, linewidths=0, label=name
        )
        similarity.scatter(rows["before"], rows["after"], s=14, color=colour, alpha=0.8, linewidths=0)
    for row in sessions[flagged].itertuples():
        name = str(row.session).removeprefix("sub-")
        place = {"xytext": (0, 4), "textcoords": "offset points", "ha": "right", "va": "bottom"}
        moved.annotate(name, (row.shift_mm, row.rotation_degrees), **place)
    moved.axvline(limits["unusual_shift_mm"], color="0.6", linewidth=0.6, linestyle=":")
    moved.axhline(limits["unusual_rotation_deg"], color="0.6", linewidth=0.6, linestyle=":")
    moved.set(xlabel="shift at the centre (mm)", ylabel="rotation (degrees)", title="How far T1w is moved")
    moved.set_xlim(left=0)
    moved.set_ylim(bottom=0)
    moved.legend(loc="best")
    ends = [min(sessions[["before", "after"]].min()), max(sessions[["before", "after"]].max())]
    similarity.plot(ends, ends, color="0.6", linewidth=0.6, linestyle=":")
    similarity.set(
        xlabel="by the headers (nats)", ylabel="registered (nats)", title="Mutual information of T2w and T1w"
    )  # fmt: skip
    return figure
