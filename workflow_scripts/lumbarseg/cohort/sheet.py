"""The sheet of sessions.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lumbarseg.cohort.demographics import read_demographic
from lumbarseg.cohort.table import encoding_warning, read_table, whole_number_as_text
from lumbarseg.errors import InputError

REQUIRED_COLUMNS = ("participant_id", "session_id", "t2w", "mask")
DEMOGRAPHICS = ("age", "sex", "weight", "site")

_LONGEST_ID = 64  # characters; file names hold both ids and have at most 255 bytes
_SHOWN = 40  # characters of a cell in a message


@dataclass(frozen=True)
class Session:
    """One T2w + T1w pair of one patient: a row of the sheet.

    Attributes:
        participant_id: letters and digits; the pseudonym under which all results are written.
        session_id: letters and digits.
        t2w: a DICOM folder, or a NIfTI, MHA or NRRD file.
        t1w: the same; empty in a study without T1w.
        mask: a NIfTI or MHA file; empty for a patient without a mask, who is only segmented.
        demographics: age in years, sex (F, M, O), weight in kg and site, as of `read_demographic`; an empty text means unknown.
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
            twice or lacks an image, two ids differ in capital letters or leading zeros alone, a path does not exist or is not
            readable, an image is neither file nor folder, a mask is no file or an image of its session, or age, sex or weight
            is none.
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
    spelled: dict[str, tuple[int, str]] = {}
    for line, row in rows:
        session = _session(sheet, line, row, needed)
        if session.label in lines:
            raise InputError(
                f"{sheet}, line {line}: {session.label} is already in line {lines[session.label]}; give one of them another "
                "session_id"
            )
        lines[session.label] = line
        participant = f"sub-{session.participant_id}"
        for name, key in (
            (participant, f"sub-{_comparable(session.participant_id)}"),
            (session.label, f"{participant}_ses-{_comparable(session.session_id)}"),
        ):
            first, same = spelled.setdefault(key, (line, name))
            if same != name:
                raise InputError(
                    f"{sheet}, line {line}: {name} and {same} in line {first} differ in capital letters or leading zeros alone; "
                    "write both alike if they are the same, or else rename one"
                )
        sessions.append(session)
    return sessions


def _comparable(identity: str) -> str:
    """Return what two ids have in common that spreadsheets and file systems take for one: `7` of `007`, `a1` of `A1`."""
    return identity.lstrip("0").casefold() if identity.isdigit() else identity.casefold()


def _session(sheet: Path, line: int, row: dict[str, str], channels: Sequence[str]) -> Session:
    place, folder = f"{sheet}, line {line}", sheet.parent
    identity = {}
    for column in ("participant_id", "session_id"):
        identity[column] = whole_number_as_text(row[column].removeprefix("sub-").removeprefix("ses-"))
        if not re.fullmatch("[A-Za-z0-9]+", identity[column]):
            thousand = re.fullmatch(r"(?a:(\d+)[.,]000)", identity[column])
            number = f" (as {thousand[1]} or {thousand[1]}000, whichever is meant)" if thousand else ""
            raise InputError(
                f"{place}: {column} “{row[column][:_SHOWN]}” is not made of letters and digits alone; rename it{number}"
            )
        if len(identity[column]) > _LONGEST_ID:
            raise InputError(
                f"{place}: {column} “{row[column][:_SHOWN]}…” has more than {_LONGEST_ID} characters; shorten it"
            )
    for contrast in channels:
        if not row[contrast.lower()]:
            raise InputError(
                f"{place}: no {contrast} image for patient {identity['participant_id']}; fill in `{contrast.lower()}`, remove "
                f"the row, or remove {contrast} from `channels`"
            )
    paths = {column: str(folder / row[column]) if row.get(column) else "" for column in ("t2w", "t1w", "mask")}
    files: dict[tuple[int, int], str] = {}
    for column, path in paths.items():
        found = _require_image(sheet, place, column, path) if path else None
        if found and not stat.S_ISDIR(found.st_mode):
            first = files.setdefault((found.st_dev, found.st_ino), column)
            if first != column:
                raise InputError(f"{place}: `{first}` and `{column}` are one file, {path}; fix the paths")
    demographics = {}
    for name in DEMOGRAPHICS:
        try:
            demographics[name] = read_demographic(name, row.get(name, ""))
        except ValueError as error:
            raise InputError(
                f"{place}: {name} “{row[name][:_SHOWN]}” is not {error}; correct it, or leave the cell empty if it is unknown"
            ) from None
    return Session(**identity, **paths, demographics=demographics)


def _require_image(sheet: Path, place: str, column: str, path: str) -> os.stat_result:
    """Require a path of the sheet that leads to a file or, but for a mask, a folder, and may be read; return what it is."""
    try:
        found = os.stat(path)  # noqa: PTH116 - two calls per path at every parse
    except (OSError, ValueError) as error:
        reason = "" if isinstance(error, FileNotFoundError) else f" ({getattr(error, 'strerror', None) or error})"
        guessed = "" if path.isascii() or not encoding_warning(sheet) else ", or save the sheet as UTF-8"
        raise InputError(
            f"{place}: `{column}` not found at {path}{reason}; fix the path (relative to the folder of the sheet){guessed}"
        ) from None
    if column == "mask" and stat.S_ISDIR(found.st_mode):
        raise InputError(f"{place}: `mask` is the folder {path}; name the file of the mask (NIfTI, MHA or NRRD)")
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{place}: `{column}` at {path} is neither a file nor a folder; fix the path")
    if not os.access(path, os.R_OK):
        raise InputError(f"{place}: no permission to read `{column}` at {path}; ask its owner for it, or copy the file")
    return found
