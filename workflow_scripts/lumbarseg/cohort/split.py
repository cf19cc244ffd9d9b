"""The split of patients into test and development, and of development into folds (Section 3, Table 3).

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lumbarseg.cohort.sheet import Session
from lumbarseg.cohort.table import read_table, whole_number_as_text
from lumbarseg.errors import InputError

SUBSETS = ("train", "validation", "test")

_COLUMNS = ("participant_id", "fold", "subset")
_SHOWN = 40  # characters of a cell in a message


@dataclass(frozen=True)
class Assignment:
    """A row of `folds.tsv`: the subset (train, validation, test) of a patient in a fold."""

    participant_id: str
    fold: int
    subset: str


def split_patients(
    sessions: Iterable[Session], folds: int, test_patients: int | str, stratify: str | None, seed: int
) -> list[Assignment]:
    """Split patients into test and development, and development into folds (Section 3, Table 3).

    A patient belongs to one subset per fold, whatever the number of sessions. Patients are ordered by a hash of seed and
    patient, so the split depends neither on the order of the sheet nor on a library's generator. Patients of a stratum
    are assigned to the folds one after the other, so each stratum is spread evenly.

    Args:
        sessions: the sheet; sessions without a mask are ignored.
        folds: number of folds, at least 2.
        test_patients: number of test patients; `auto` for the paper's 33 of 181, otherwise a fifth, rounded.
        stratify: a column of the sheet (`site`, `sex`), or None.
        seed: any integer.

    Returns:
        One row per patient and fold.

    Raises:
        InputError: too few patients for that many folds.
    """
    strata: dict[str, set[str]] = defaultdict(set)
    known: set[str] = set()
    for session in sessions:
        if session.mask and session.participant_id not in known:
            known.add(session.participant_id)
            strata[session.demographics.get(stratify, "") if stratify else ""].add(session.participant_id)
    number = (33 if len(known) == 181 else round(0.2 * len(known))) if test_patients == "auto" else int(test_patients)
    if len(known) - number < folds or number < 1:
        raise InputError(
            f"sheet of sessions: {len(known)} patients with a mask, {number} of them for the test, are too few for {folds} "
            "folds (one patient per fold and one for the test are needed); add patients, or lower `split.folds` or `split.test_patients`"
        )

    def order(patient: str) -> bytes:
        return hashlib.sha256(f"{seed}:{patient}".encode()).digest()

    ordered = [patient for stratum in sorted(strata) for patient in sorted(strata[stratum], key=order)]
    # Every (n / number)-th patient is a test patient: an even share of each stratum.
    test = {ordered[int((index + 0.5) * len(ordered) / number)] for index in range(number)}
    development = [patient for patient in ordered if patient not in test]
    validation_fold = {patient: 1 + index % folds for index, patient in enumerate(development)}
    return [
        Assignment(patient, fold, "test" if patient in test else _subset(validation_fold[patient], fold))
        for fold in range(1, folds + 1)
        for patient in sorted(known)
    ]


def _subset(validation_fold: int, fold: int) -> str:
    return "validation" if validation_fold == fold else "train"


def read_folds(path: str | os.PathLike[str], sessions: Iterable[Session], folds: int) -> list[Assignment]:
    """Read a split made elsewhere: a table with participant_id, fold and subset.

    Args:
        path: tab-separated, as this project writes it; what spreadsheets change is accepted (`read_table`, folds such as
            2.0, capital letters in subset names).
        sessions: the sheet; every patient with a mask must be assigned in every fold.
        folds: number of folds in the config.

    Returns:
        One row per patient and fold, ordered by fold and patient.

    Raises:
        InputError: the file does not exist or a column is missing, a fold is not one of 1 to `folds`, a subset has another
            name, a patient is unknown, unassigned, in two subsets of a fold, or a test patient in some folds only, or a
            subset is empty.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: split not found; fix `split.file` in the config")
    patients = {session.participant_id for session in sessions if session.mask}
    subsets: dict[tuple[str, int], str] = {}
    for place, row in _assignments(file):
        key = (row.participant_id, row.fold)
        if not 1 <= row.fold <= folds:
            raise InputError(
                f"{place}: fold {row.fold} is not one of 1 to {folds}; remove the row or change `split.folds` in the config"
            )
        if row.participant_id not in patients:
            raise InputError(
                f"{place}: patient {row.participant_id[:_SHOWN]} has no mask in the sheet of sessions; remove the row"
                f"{_meant(row.participant_id, patients)}"
            )
        if key in subsets:
            raise InputError(
                f"{place}: patient {row.participant_id} is already in fold {row.fold}, as {subsets[key]}; remove one of the rows"
            )
        subsets[key] = row.subset
    for fold in range(1, folds + 1):
        for patient in sorted(patients):
            if (patient, fold) not in subsets:
                raise InputError(f"{file}: no row for patient {patient} in fold {fold}; add it")
            if (subsets[patient, fold] == "test") != (subsets[patient, 1] == "test"):
                raise InputError(
                    f"{file}: patient {patient} is a test patient in some folds only; use the same test patients in all folds"
                )
        for subset in SUBSETS:
            if subset not in {subsets[patient, fold] for patient in patients}:
                raise InputError(f"{file}: no {subset} patient in fold {fold}; assign one")
    return [
        Assignment(patient, fold, subsets[patient, fold])
        for fold in range(1, folds + 1)
        for patient in sorted(patients)
    ]


def _meant(patient: str, patients: Iterable[str]) -> str:
    """Return the remedy for a patient who differs from one of the sheet in capital letters or leading zeros alone."""
    folded = patient.casefold().removeprefix("sub-")
    likely = sorted(one for one in patients if one.casefold().lstrip("0") == folded.lstrip("0"))
    if not likely:
        return ""
    reason = "as in the sheet" if likely[0].casefold() == folded else "spreadsheets drop leading zeros"
    return f", or write {likely[0]} ({reason})"


def changed_folds(path: str | os.PathLike[str], assignments: Iterable[Assignment]) -> list[int]:
    """Find the folds whose training or validation patients differ from a written split.

    Args:
        path: a `folds.tsv` of this project, which may not exist yet.
        assignments: the present split.

    Returns:
        The changed folds in order; none without a file.

    Raises:
        InputError: the file was damaged since it was written.
    """
    file = Path(path)
    if not file.is_file():
        return []
    written = {row for _, row in _assignments(file)}
    return sorted({row.fold for row in written ^ set(assignments) if row.subset != "test"})


def _assignments(file: Path) -> Iterable[tuple[str, Assignment]]:
    """Yield the rows of a `folds.tsv`, each with its place for messages."""
    rows = read_table(file, _COLUMNS)
    if not rows:
        raise InputError(f"{file}: no rows below the header; add one row per patient and fold")
    for line, row in rows:
        place = f"{file}, line {line}"
        fold = whole_number_as_text(row["fold"])
        if not re.fullmatch(r"(?a:\d{1,9})", fold):
            shown = row["fold"] if len(row["fold"]) <= _SHOWN else f"{row['fold'][:_SHOWN]}…"
            raise InputError(f"{place}: fold “{shown}” is not a whole number below a billion; write 1, 2, 3 …")
        subset = row["subset"].lower()
        if subset not in SUBSETS:
            raise InputError(
                f"{place}: subset “{row['subset'][:_SHOWN]}” is not one of {', '.join(SUBSETS)}; rename it"
            )
        participant = whole_number_as_text(row["participant_id"].removeprefix("sub-"))
        if not participant:
            raise InputError(f"{place}: no patient; fill in `participant_id`, or remove the row")
        yield place, Assignment(participant, int(fold), subset)
