"""The cohort: its sheet of sessions, and the split of its patients into folds.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import csv
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lumbarseg.errors import InputError

REQUIRED_COLUMNS = ("participant_id", "session_id", "t2w", "mask")
FACTS = ("age", "sex", "weight", "site")


@dataclass(frozen=True)
class Session:
    """One T2w + T1w pair of one patient: a row of the sheet.

    Attributes:
        participant_id: letters and digits; the pseudonym under which everything is written.
        session_id: letters and digits.
        t2w: a DICOM folder, or a NIfTI, MHA or NRRD file.
        t1w: the same; empty where the study does without T1w.
        mask: a NIfTI or MHA file; empty for a patient who is only to be segmented.
        facts: age in years, sex, weight in kg and site, as the sheet gives them; an empty text is unknown.
    """

    participant_id: str
    session_id: str
    t2w: str
    t1w: str
    mask: str
    facts: dict[str, str] = field(default_factory=dict, compare=False)

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
    return Session(**identity, **paths, facts={name: row.get(name, "") for name in FACTS})


@dataclass(frozen=True)
class Assignment:
    """A row of `folds.tsv`: in this fold this patient belongs to this subset (train, validation, test)."""

    participant_id: str
    fold: int
    subset: str


def split_patients(
    sessions: Iterable[Session], folds: int, test_patients: int | str, stratify: str | None, seed: int
) -> list[Assignment]:
    """Split patients into test and development, and development into folds (Section 3, Table 3).

    Every patient stands in one subset a fold, whatever the number of sessions. The order in which patients are dealt
    comes from a hash of seed and patient, so it depends neither on the order of the sheet nor on a library's
    generator. Within a stratum patients are dealt one after the other, so each stratum is spread evenly.

    Args:
        sessions: those with a mask; others are left out.
        folds: number of folds, at least 2.
        test_patients: how many are kept for the test; `auto` for the paper's 33 of 181, else a fifth, rounded.
        stratify: a fact of the sheet (`site`, `sex`), or None.
        seed: any whole number.

    Returns:
        One row for each patient and fold.

    Raises:
        InputError: too few patients for that many folds.
    """
    strata: dict[str, set[str]] = defaultdict(set)
    known: set[str] = set()
    for session in sessions:
        if session.mask and session.participant_id not in known:
            known.add(session.participant_id)
            strata[session.facts.get(stratify, "") if stratify else ""].add(session.participant_id)
    number = (33 if len(known) == 181 else round(0.2 * len(known))) if test_patients == "auto" else int(test_patients)
    if len(known) - number < folds or number < 1:
        raise InputError(
            f"the sheet of sessions: expected at least {folds} patients with a mask for the {folds} folds and one for the "
            f"test, found {len(known)} of whom {number} are for the test; add patients or lower `split.folds`"
        )

    def order(patient: str) -> bytes:
        return hashlib.sha256(f"{seed}:{patient}".encode()).digest()

    dealt = [patient for stratum in sorted(strata) for patient in sorted(strata[stratum], key=order)]
    # Every (n / number)-th of the dealt patients is for the test: an even share of each stratum.
    test = {dealt[int((index + 0.5) * len(dealt) / number)] for index in range(number)}
    development = [patient for patient in dealt if patient not in test]
    validation_fold = {patient: 1 + index % folds for index, patient in enumerate(development)}
    return [
        Assignment(patient, fold, "test" if patient in test else _subset(validation_fold[patient], fold))
        for fold in range(1, folds + 1)
        for patient in sorted(known)
    ]


def _subset(validation_fold: int, fold: int) -> str:
    return "validation" if validation_fold == fold else "train"


def read_folds(path: str | os.PathLike[str], sessions: Iterable[Session], folds: int) -> list[Assignment]:
    """Read a split made elsewhere: a `folds.tsv` with participant_id, fold and subset.

    Args:
        path: tab-separated; as this project writes it.
        sessions: the sheet; every patient with a mask must be assigned in every fold.
        folds: how many folds the config says there are.

    Raises:
        InputError: a column is missing, a patient is unknown, unassigned, stands in two subsets of a fold, is for the
            test in one fold only, or a subset is empty.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: expected the split named as `split.file`, found no such file; correct the path")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    if not rows or not {"participant_id", "fold", "subset"} <= set(rows[0]):
        raise InputError(
            f"{file}: expected the columns participant_id, fold, subset; found {list(rows[0]) if rows else 'none'}; add them"
        )
    patients = {session.participant_id for session in sessions if session.mask}
    subsets: dict[tuple[str, int], str] = {}
    for row in rows:
        key = (row["participant_id"].removeprefix("sub-"), int(row["fold"]))
        if key[0] not in patients:
            raise InputError(
                f"{file}: expected patients of the sheet that have a mask, found {key[0]}; take the row out"
            )
        if row["subset"] not in ("train", "validation", "test") or key in subsets:
            raise InputError(
                f"{file}: expected each patient once a fold as train, validation or test, found patient {key[0]} of fold "
                f"{key[1]} as “{row['subset']}”{' after ' + subsets[key] if key in subsets else ''}; mend the row"
            )
        subsets[key] = row["subset"]
    for fold in range(1, folds + 1):
        for patient in sorted(patients):
            if (patient, fold) not in subsets:
                raise InputError(
                    f"{file}: expected every patient in every fold, found no row for {patient} in fold {fold}; add it"
                )
            if (subsets[patient, fold] == "test") != (subsets[patient, 1] == "test"):
                raise InputError(
                    f"{file}: expected the same test patients in every fold, found {patient} for the test in some; mend it"
                )
        for subset in ("train", "validation", "test"):
            if subset not in {subsets[patient, fold] for patient in patients}:
                raise InputError(f"{file}: expected a {subset} patient in fold {fold}, found none; assign one")
    return [
        Assignment(patient, fold, subsets[patient, fold])
        for fold in range(1, folds + 1)
        for patient in sorted(patients)
    ]


def folds_dealt_anew(path: str | os.PathLike[str], assignments: Iterable[Assignment]) -> list[int]:
    """Say in which folds a split differs from the one that was written, as far as networks see it.

    Args:
        path: a `folds.tsv` of this project, which may not exist yet.
        assignments: the split as it is now.

    Returns:
        The folds whose patients for training or validation are not those of the file, in order; none without a file.
    """
    file = Path(path)
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        written = {
            (row["participant_id"], int(row["fold"]), row["subset"]) for row in csv.DictReader(lines, delimiter="\t")
        }
    now = {(row.participant_id, row.fold, row.subset) for row in assignments}
    return sorted({fold for _, fold, subset in written ^ now if subset != "test"})
