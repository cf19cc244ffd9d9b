"""The cohort: its sheet of sessions, and the split of its patients into folds.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lumbarseg.errors import InputError

REQUIRED_COLUMNS = ("participant_id", "session_id", "t2w", "mask")
DEMOGRAPHICS = ("age", "sex", "weight", "site")


@dataclass(frozen=True)
class Session:
    """One T2w + T1w pair of one patient: a row of the sheet.

    Attributes:
        participant_id: letters and digits; the pseudonym under which everything is written.
        session_id: letters and digits.
        t2w: a DICOM folder, or a NIfTI, MHA or NRRD file.
        t1w: the same; empty where the study does without T1w.
        mask: a NIfTI or MHA file; empty for a patient who is only to be segmented.
        demographics: age in years, sex, weight in kg and site, as the sheet gives them; an empty text is unknown.
    """

    participant_id: str
    session_id: str
    t2w: str
    t1w: str
    mask: str
    demographics: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def label(self) -> str:
        """The BIDS label, `sub-<p>_ses-<s>`."""
        return f"sub-{self.participant_id}_ses-{self.session_id}"


def read_sheet(path: str | os.PathLike[str], channels: Sequence[str], may_lack_images: bool = False) -> list[Session]:
    """Read `sessions.tsv` and check all that can be checked without opening an image.

    Paths in the sheet are taken relative to the sheet's folder.

    Args:
        path: tab-separated, one header row; columns participant_id, session_id, t2w, t1w, mask, age, sex, weight, site.
        channels: the study's channels; `t1w` is needed only where they hold T1w.
        may_lack_images: let cells of images be empty; whoever asks leaves such sessions out.

    Returns:
        The sessions in the sheet's order.

    Raises:
        InputError: a column is missing, an id cannot be used, a session stands twice or lacks an image, or a path does
            not exist or may not be read.
    """
    sheet = Path(path)
    if not sheet.is_file():
        raise InputError(
            f"{sheet}: expected the sheet of sessions, found no such file; write one (docs/your_own_data.md) "
            "or name it as `sessions` in the config"
        )
    with sheet.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter="\t")
        columns = reader.fieldnames or []
        required = [*REQUIRED_COLUMNS, *(["t1w"] if "T1w" in channels else [])]
        missing = [column for column in required if column not in columns]
        if missing:
            raise InputError(
                f"{sheet}: expected the columns {', '.join(required)} separated by tabs, found {', '.join(columns) or 'none'}; "
                f"add {', '.join(missing)}"
            )
        rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    if not rows:
        raise InputError(f"{sheet}: expected one row a session, found only the header; add sessions")
    needed = [] if may_lack_images else channels
    sessions = [_session(sheet, number, row, needed) for number, row in enumerate(rows, start=2)]
    seen: dict[str, int] = {}
    for number, session in enumerate(sessions, start=2):
        if session.label in seen:
            raise InputError(
                f"{sheet}: expected each session once, found {session.label} in lines {seen[session.label]} and {number}; "
                "give one of them another session_id"
            )
        seen[session.label] = number
    return sessions


def _session(sheet: Path, number: int, row: dict[str, str], channels: Sequence[str]) -> Session:
    identity = {}
    for column in ("participant_id", "session_id"):
        identity[column] = row[column].removeprefix("sub-").removeprefix("ses-")
        if not re.fullmatch("[A-Za-z0-9]+", identity[column]):
            raise InputError(
                f"{sheet}, line {number}: expected letters and digits as {column}, found “{row[column]}”; rename it"
            )
    for contrast in channels:
        if not row[contrast.lower()]:
            raise InputError(
                f"{sheet}, line {number}: expected a {contrast} image for patient {identity['participant_id']}, found an "
                f"empty cell; fill in `{contrast.lower()}`, take the row out, or leave {contrast} out of `channels`"
            )
    paths = {}
    for column in ("t2w", "t1w", "mask"):
        value = row.get(column, "")
        paths[column] = str(sheet.parent / value) if value else ""
        if value and not os.path.exists(paths[column]):  # noqa: PTH110 - three calls a session at every parse
            raise InputError(
                f"{sheet}, line {number}: expected `{column}` to be a file or folder, found nothing at {paths[column]}; "
                "correct the path (it is taken relative to the sheet)"
            )
        if value and not os.access(paths[column], os.R_OK):
            raise InputError(
                f"{sheet}, line {number}: expected `{column}` to be readable, found {paths[column]} without the right to read "
                "it; ask its owner, or copy it"
            )
    return Session(**identity, **paths, demographics={name: row.get(name, "") for name in DEMOGRAPHICS})
