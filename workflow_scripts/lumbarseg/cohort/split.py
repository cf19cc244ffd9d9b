"""The split of patients into test and development, and of development into folds (Section 3, Table 3).

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lumbarseg.cohort.sheet import Session
from lumbarseg.errors import InputError


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
            strata[session.demographics.get(stratify, "") if stratify else ""].add(session.participant_id)
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


def changed_folds(path: str | os.PathLike[str], assignments: Iterable[Assignment]) -> list[int]:
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
