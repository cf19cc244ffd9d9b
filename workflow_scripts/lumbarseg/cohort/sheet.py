"""The sheet of sessions.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lumbarseg.cohort.table import encoding_warning, read_table, whole_number_as_text
from lumbarseg.errors import InputError

REQUIRED_COLUMNS = ("participant_id", "session_id", "t2w", "mask")
DEMOGRAPHICS = ("age", "sex", "weight", "site")


@dataclass(frozen=True)
class Session:
    """One T2w + T1w pair of one patient: a row of the sheet.

    Attributes:
        participant_id: letters and digits; the pseudonym under which all results are written.
        session_id: letters and digits.
        t2w: a DICOM folder, or a NIfTI, MHA or NRRD file.
        t1w: the same; empty in a study without T1w.
        mask: a NIfTI or MHA file; empty for a patient without a mask, who is only segmented.
        demographics: age in years, sex, weight in kg and site as in the sheet; an empty text means unknown.
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
    """Read `sessions.tsv` and check everything that can be checked without opening an image.

    Paths in the sheet are relative to the sheet's folder.

    Args:
        path: tab-separated, one header row; columns participant_id, session_id, t2w, t1w, mask, age, sex, weight, site; what
            spreadsheets change is accepted (`read_table`, ids such as 12.0).
        channels: the study's channels; the column `t1w` is needed only if they include T1w.
        may_lack_images: accept empty image cells; the caller leaves such sessions out.

    Returns:
        The sessions in the order of the sheet.

    Raises:
        InputError: the sheet does not exist or has no rows, a column is missing, an id is invalid, a session appears
            twice or lacks an image, or a path does not exist or is not readable.
    """
    sheet = Path(path)
    if not sheet.is_file():
        raise InputError(
            f"{sheet}: sheet of sessions not found; write it (docs/your_own_data.md) or fix `sessions` in the config"
        )
    rows = read_table(sheet, [*REQUIRED_COLUMNS, *(["t1w"] if "T1w" in channels else [])])
    if not rows:
        raise InputError(f"{sheet}: no sessions below the header; add one row per session")
    needed = [] if may_lack_images else channels
    sessions = []
    lines: dict[str, int] = {}
    for line, row in rows:
        session = _session(sheet, line, row, needed)
        if session.label in lines:
            raise InputError(
                f"{sheet}, line {line}: {session.label} is already in line {lines[session.label]}; give one of them another "
                "session_id"
            )
        lines[session.label] = line
        sessions.append(session)
    return sessions


def _session(sheet: Path, line: int, row: dict[str, str], channels: Sequence[str]) -> Session:
    place, folder = f"{sheet}, line {line}", sheet.parent
    identity = {}
    for column in ("participant_id", "session_id"):
        identity[column] = whole_number_as_text(row[column].removeprefix("sub-").removeprefix("ses-"))
        if not re.fullmatch("[A-Za-z0-9]+", identity[column]):
            thousand = re.fullmatch(r"(?a:(\d+)[.,]000)", identity[column])
            number = f" (as {thousand[1]} or {thousand[1]}000, whichever is meant)" if thousand else ""
            raise InputError(
                f"{place}: {column} “{row[column]}” is not made of letters and digits alone; rename it{number}"
            )
    for contrast in channels:
        if not row[contrast.lower()]:
            raise InputError(
                f"{place}: no {contrast} image for patient {identity['participant_id']}; fill in `{contrast.lower()}`, remove "
                f"the row, or remove {contrast} from `channels`"
            )
    paths = {}
    for column in ("t2w", "t1w", "mask"):
        value = row.get(column, "")
        paths[column] = str(folder / value) if value else ""
        if value and not os.path.exists(paths[column]):  # noqa: PTH110 - three calls per session at every parse
            guessed = "" if value.isascii() or not encoding_warning(sheet) else ", or save the sheet as UTF-8"
            raise InputError(
                f"{place}: `{column}` not found at {paths[column]}; fix the path (relative to the folder of the sheet){guessed}"
            )
        if value and not os.access(paths[column], os.R_OK):
            raise InputError(
                f"{place}: no permission to read `{column}` at {paths[column]}; ask its owner for it, or copy the file"
            )
    demographics = {name: row.get(name, "") for name in DEMOGRAPHICS}
    for name in ("age", "weight"):
        # Where decimals have commas, spreadsheets write 74,1.
        demographics[name] = re.sub(r"(?a:^(\d+),(\d+)$)", r"\1.\2", demographics[name])
    return Session(**identity, **paths, demographics=demographics)
