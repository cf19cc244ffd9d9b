"""The list of whom to draw next, and the commands that open drafts in ITK-SNAP."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lumbarseg.evaluation.drawing_order import drawing_order, standardised
from lumbarseg.reporting.drafts_page import FLAG_SEPARATOR

_FILES = {"T2w": "t2w.nii.gz", "T1w": "t1w.nii.gz"}


def itksnap_command(channels: Sequence[str]) -> str:
    """Return the command line that opens a draft from its own folder: image, overlay, labels, label descriptions.

    Args:
        channels: contrasts, T2w first.
    """
    main, *others = (_FILES[contrast] for contrast in channels)
    overlays = ["-o", *others] if others else []
    return shlex.join(["itksnap", "-g", main, *overlays, "-s", "labels.nii.gz", "-l", "labels.txt"])


def commands_of_list(listed: pd.DataFrame, channels: Sequence[str]) -> str:
    """Return a shell script that opens one draft after the other, in the order of the list.

    Args:
        listed: from `list_drafts`.
        channels: contrasts, T2w first.
    """
    lines = ["#!/bin/sh", "# One draft after the other, in the order of next.csv. Close ITK-SNAP to open the next.",
             'cd "$(dirname "$0")" || exit 1']  # fmt: skip
    for row in listed.itertuples():
        lines.append(f"(cd sub-{row.participant_id}/ses-{row.session_id} && {itksnap_command(channels)})")
    return "\n".join(lines) + "\n"


def list_drafts(
    sessions: Sequence[tuple[str, str]],
    records: Sequence[Mapping[str, Any]],
    profiles: Sequence[Mapping[str, float]],
    drawn: Sequence[Mapping[str, float]],
    following: int,
    novelty: float,
) -> pd.DataFrame:
    """List the sessions without a mask in the order in which to draw them: `drafts/next.csv`.

    Args:
        sessions: participant_id and session_id of each.
        records: of their drafts, from `drafts.write_draft`.
        profiles: of their images, from `domain_check.session_profile`.
        drawn: the profiles of the sessions that have a mask.
        following: how many are to be drawn next.
        novelty: its weight in the score, 0 … 1.

    Returns:
        rank (from 1), participant_id, session_id, next (whether among the first `following`), score (0 … 1), uncertainty (mean
        entropy of the labelled pixels, nats; missing for an empty draft), novelty (0 … 1), labelled_share (0 … 1), flags
        (sentences, joined by ` | `).
    """
    values = standardised([*profiles, *drawn])
    uncertainty = pd.Series([record["mean_entropy"] for record in records], dtype="float64")
    order = drawing_order(uncertainty.to_numpy(), values[: len(profiles)], values[len(profiles) :], novelty)
    rows = [
        {
            "rank": rank,
            "participant_id": sessions[choice.place][0],
            "session_id": sessions[choice.place][1],
            "next": rank <= following,
            "score": round(choice.score, 4),
            "uncertainty": uncertainty[choice.place],
            "novelty": round(choice.novelty, 4),
            "labelled_share": records[choice.place]["labelled_share"],
            "flags": FLAG_SEPARATOR.join(records[choice.place]["flags"]),
        }
        for rank, choice in enumerate(order, start=1)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    "rank",
    "participant_id",
    "session_id",
    "next",
    "score",
    "uncertainty",
    "novelty",
    "labelled_share",
    "flags",
)
