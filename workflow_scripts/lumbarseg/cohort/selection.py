"""Selection of sessions by the paper's criteria (Section 3.1.1, Table 2), with the reason for each exclusion.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumbarseg.config.image_sections import Criteria, Selection
from lumbarseg.errors import InputError

LEFT_OUT, USED = "left out", "used"

COLUMNS = ("participant_id", "session_id", "outcome", "criterion", "found", "expected")
"""Columns of `metrics/selection.csv`: one row per criterion that a session fails, and one per session that meets all."""

MILLISECONDS = ("RepetitionTime", "EchoTime")
"""Fields in seconds in BIDS and in milliseconds in Table 2."""

# Relative tolerance: Table 2 and headers are rounded.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Finding:
    """A criterion that a session fails.

    Attributes:
        criterion: its name in the config, with the contrast: `T2w RepetitionTime`.
        found: the session's value.
        expected: the accepted range, as text.
        excludes: whether the session is left out because of it.
    """

    criterion: str
    found: str
    expected: str
    excludes: bool


def judge(session: Mapping[str, Any], criteria: Selection, class_names: Sequence[str]) -> list[Finding]:
    """Compare a session with the criteria; values missing from its headers are not checked.

    Args:
        session: a row of `metrics/cohort.csv`: for each contrast `T2w_RepetitionTime` and the like (times in seconds,
            spacings in mm, Height and Width in pixels), `T2w_Brightness` and `T2w_Noise`, `T1w_Overlap`, and `classes`, the
            ids in its mask.
        criteria: `selection` of the config.
        class_names: class names in the order of their ids.

    Returns:
        The criteria that the session fails, in the order of the config.
    """
    findings: list[Finding] = []

    def require(
        section: Criteria, criterion: str, value: float | None, low: float, high: float, unit: str = ""
    ) -> None:
        if value is None or section.action == "ignore" or low * (1 - _ROUNDING) <= value <= high * (1 + _ROUNDING):
            return
        wanted = f"at least {low:g}{unit}" if math.isinf(high) else f"{low:g} to {high:g}{unit}"
        wanted = f"at most {high:g}{unit}" if low == 0 else wanted
        findings.append(Finding(criterion, f"{value:.4g}{unit}", wanted, section.action == "exclude"))

    contrasts = [contrast for contrast in ("T2w", "T1w") if _number(session, f"{contrast}_Height") is not None]
    for contrast in contrasts:
        for field, limits in getattr(criteria.acquisition, contrast):
            value = _number(session, f"{contrast}_{field}")
            times = 1000 if field in MILLISECONDS else 1
            if limits is not None and value is not None:
                low, high = limits
                require(
                    criteria.acquisition, f"{contrast} {field}", value * times, low, high, " ms" if times > 1 else ""
                )
    coverage = criteria.coverage
    rows, spacing = _number(session, "T2w_Height"), _number(session, "T2w_PixelSpacing")
    if rows is not None and spacing is not None:
        require(coverage, "T2w height", rows * spacing, coverage.min_height_mm, math.inf, " mm")
    require(coverage, "T1w overlap", _number(session, "T1w_Overlap"), coverage.min_overlap, 1)
    present = {class_names[int(number)] for number in str(session.get("classes", "")).split()}
    absent = [name for name in coverage.classes if name in class_names and name not in present]
    if absent and present and coverage.action != "ignore":
        wanted = ", ".join(name for name in coverage.classes if name in class_names)
        findings.append(Finding("classes of the mask", f"no {', '.join(absent)}", wanted, coverage.action == "exclude"))
    for contrast in contrasts:
        quality = criteria.quality
        require(quality, f"{contrast} brightness", _number(session, f"{contrast}_Brightness"), *quality.brightness)
        require(quality, f"{contrast} noise", _number(session, f"{contrast}_Noise"), 0, quality.noise)
    return findings


def selection_rows(
    sessions: Iterable[Mapping[str, Any]],
    lacking: Iterable[tuple[str, str, str]],
    criteria: Selection,
    class_names: Sequence[str],
) -> list[dict[str, str]]:
    """Compare all sessions with the criteria.

    Args:
        sessions: rows of `metrics/cohort.csv`.
        lacking: participant_id, session_id and missing contrast of sessions that were not converted.
        criteria: as for `judge`.
        class_names: as for `judge`.

    Returns:
        Rows with `COLUMNS`; excluded sessions first.
    """
    rows = [
        dict(
            zip(
                COLUMNS,
                (participant, session, LEFT_OUT, "both contrasts", f"no {contrast}", "T2w and T1w"),
                strict=True,
            )
        )
        for participant, session, contrast in lacking
    ]
    for session in sessions:
        findings = judge(session, criteria, class_names)
        outcome = LEFT_OUT if any(finding.excludes for finding in findings) else USED
        identity = (str(session["participant_id"]), str(session["session_id"]), outcome)
        reasons = [(one.criterion, one.found, one.expected) for one in findings] or [("", "", "")]
        rows += [dict(zip(COLUMNS, (*identity, *reason), strict=True)) for reason in reasons]
    return sorted(rows, key=lambda row: row["outcome"] != LEFT_OUT)


def used_sessions(sessions: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, Any]]:
    """Return the sessions that are not excluded by rows of `selection_rows`."""
    excluded = _excluded(rows)
    return [one for one in sessions if (str(one["participant_id"]), str(one["session_id"])) not in excluded]


def summary(rows: Iterable[Mapping[str, str]]) -> str:
    """Summarise rows of `selection_rows` in a phrase; empty if all sessions meet all criteria."""
    rows = list(rows)
    excluded = _excluded(rows)
    warned = {(row["participant_id"], row["session_id"]) for row in rows if row["criterion"]} - excluded
    parts = [(len(excluded), "sessions excluded"), (len(warned), "sessions outside a criterion but used")]
    return ", ".join(f"{count} {what}" for count, what in parts if count)


def require_planned_selection(
    path: str | os.PathLike[str], planned: Iterable[tuple[str, str]], lacking: Iterable[tuple[str, str, str]]
) -> None:
    """Require that the exclusions of a selection are those with which the run was planned.

    Args:
        path: `metrics/selection.csv`.
        planned: participant_id and session_id of the sessions that the run leaves out.
        lacking: as for `selection_rows`; these sessions are known from the sheet.

    Raises:
        InputError: images were found since that exclude other sessions.
    """
    found = left_out(path) - {(participant, session) for participant, session, _ in lacking}
    planned = set(planned)
    if found != planned:
        raise InputError(
            f"{path}: {len(found)} sessions are excluded, but the run was planned with {len(planned)}; check the table, then run "
            "the same command again to continue with the selected sessions"
        )


def excludes(criteria: Selection) -> bool:
    """Return whether any criterion can exclude a session that has all its images."""
    return any(one.action == "exclude" for one in (criteria.acquisition, criteria.coverage, criteria.quality))


def left_out(path: str | os.PathLike[str]) -> set[tuple[str, str]]:
    """Read the participant_id and session_id of the excluded sessions; none if the file does not exist yet.

    Raises:
        InputError: the file was damaged since it was written.
    """
    if not Path(path).is_file():
        return set()
    try:
        with Path(path).open(encoding="utf-8", newline="") as lines:
            return _excluded(csv.DictReader(lines))
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: damaged since it was written; remove it, then run `snakemake select` again"
        ) from error


def _excluded(rows: Iterable[Mapping[str, str]]) -> set[tuple[str, str]]:
    return {(row["participant_id"], row["session_id"]) for row in rows if row["outcome"] == LEFT_OUT}


def _number(session: Mapping[str, Any], name: str) -> float | None:
    try:
        value = float(session[name])
    except (KeyError, TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
