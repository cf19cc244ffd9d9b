"""Patients and images that a sheet has under two names: a patient in training and in test would make the test worthless.

DICOM headers say so by PatientID, StudyInstanceUID and SOPInstanceUID; of other files, only the voxels can be compared. Ids are
hashed with a key that ends with the process, so none is in any output.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, sagittal_view
from lumbarseg.imaging.dicom_folder import mr_headers
from lumbarseg.imaging.dicom_headers import birth_date

Session = tuple[str, str]
"""participant_id and session_id."""

_KEY = os.urandom(16)

# What anonymisers write instead of an id.
_PLACEHOLDERS = {"", "unknown", "none", "null", "na", "n/a", "removed", "patient", "test", "xxx", "deidentified"}
_CONSTANT = 3  # participants; a PatientID that so many have, and all of them, is a placeholder
_FIELDS = (
    "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "SOPInstanceUID",
)  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """What identifies the patient and the images of a session; empty where it is unknown.

    Attributes:
        patients: PatientID, hashed.
        studies: StudyInstanceUID, hashed.
        images: SOPInstanceUID, hashed.
        voxels: digests of images, as of `voxel_digest`.
        details: year and day of birth, sex (F or M) and issuer of the id, hashed; where two sessions have other ones, they are of
            two patients.
    """

    patients: frozenset[str] = frozenset()
    studies: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    voxels: frozenset[str] = frozenset()
    details: tuple[str, str, str, str] = ("", "", "", "")


@dataclass(frozen=True)
class Repetition:
    """Two sessions that share something."""

    first: Session
    second: Session
    shared: str

    @property
    def of_two_participants(self) -> bool:
        """Whether the sheet has them as two patients."""
        return self.first[0] != self.second[0]

    def __str__(self) -> str:
        names = " and ".join(f"sub-{participant} ses-{session}" for participant, session in (self.first, self.second))
        return f"{names} have {self.shared}"


def voxel_digest(view: NDArray[Any]) -> str:
    """Return 64 hexadecimal digits that are equal for equal images, whatever their file format, order and dtype.

    Args:
        view: the image in sagittal view, (slices, rows, columns).
    """
    content = hashlib.sha256(str(view.shape).encode())
    content.update(np.ascontiguousarray(view, dtype=np.float32).tobytes())
    return content.hexdigest()


def identify(sources: Iterable[str | Path], voxels: Iterable[str] = ()) -> Identity:
    """Read what identifies a session.

    Args:
        sources: its DICOM folders and image files.
        voxels: digests of its images, if they are known; image files are then not read.

    Returns:
        What is known; of sources that cannot be read nothing, because conversion reports them.
    """
    known: dict[str, set[str]] = defaultdict(set)
    known["voxels"] = set(voxels)
    read_voxels = not known["voxels"]
    details = ["", "", "", ""]
    for source in dict.fromkeys(map(Path, sources)):
        try:
            if source.is_dir():
                for found in mr_headers(source, _FIELDS):
                    if not _is_placeholder(found["PatientID"]):
                        known["patients"].add(_hashed(_comparable(found["PatientID"])))
                    for kind, name in (("studies", "StudyInstanceUID"), ("images", "SOPInstanceUID")):
                        known[kind] |= {_hashed(found[name])} if found[name] else set()
                    sex = found["PatientSex"].upper()
                    stated = (
                        *_birth(found["PatientBirthDate"]),
                        sex if sex in ("F", "M") else "",
                        found["IssuerOfPatientID"],
                    )
                    details = [old or _hashed(new) if new else old for old, new in zip(details, stated, strict=True)]
            elif read_voxels:
                image = load_image(source)
                known["voxels"].add(voxel_digest(sagittal_view(np.asanyarray(image.dataobj), image.affine)))
        except InputError:
            continue
    return Identity(
        frozenset(known["patients"]),
        frozenset(known["studies"]),
        frozenset(known["images"]),
        frozenset(known["voxels"]),
        (details[0], details[1], details[2], details[3]),
    )


def _birth(text: str) -> tuple[str, str]:
    """Return the year and the day of birth, empty where unknown. Anonymisers keep the year alone, as 1960, 196000 or 19600101."""
    digits = re.sub(r"\D", "", text)
    year_alone = re.fullmatch(r"(\d{4})(00|0000|\d{2}00)?", digits)
    born = birth_date(f"{year_alone[1]}0101" if year_alone else digits if len(digits) == 8 else None)
    if born is None:
        return "", ""
    return str(born.year), "" if (born.month, born.day) == (1, 1) else born.isoformat()


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=_KEY).hexdigest()


def _comparable(patient: str) -> str:
    """Return a PatientID as it is compared: capital letters and the leading zeros of a number, which systems drop, do not count."""
    return patient.lstrip("0") if patient.isdigit() else patient.casefold()


def _is_placeholder(patient: str) -> bool:
    """Return whether a PatientID is none: a word that anonymisers write, or one digit repeated."""
    text = patient.casefold()
    return text in _PLACEHOLDERS or text.startswith("anon") or (len(set(text)) == 1 and text.isdigit())


def repetitions(sessions: Mapping[Session, Identity]) -> list[Repetition]:
    """Find the sessions that share an image, a study or a patient.

    Sessions of one participant_id are expected to share patient and study, so only a shared image is reported. A PatientID that
    all of three or more participants have is taken for a placeholder; a StudyInstanceUID or SOPInstanceUID never is. Two sessions with
    equal PatientID or StudyInstanceUID but another birth date, sex or issuer are of two patients; an equal SOPInstanceUID is always
    the same image.

    Args:
        sessions: of the sheet.

    Returns:
        Each pair once, with the strongest of what they share.
    """
    found: dict[tuple[Session, Session], str] = {}
    kinds = (
        ("voxels", "the same image", False),
        ("images", "the same image (SOPInstanceUID)", False),
        ("studies", "the same study (StudyInstanceUID)", True),
        ("patients", "the same patient (PatientID)", True),
    )
    for kind, shared, between_participants in kinds:
        owners: dict[str, list[Session]] = defaultdict(list)
        for session, identity in sessions.items():
            for value in getattr(identity, kind):
                owners[value].append(session)
        having = {session[0] for session, identity in sessions.items() if getattr(identity, kind)}
        for group in owners.values():
            participants = {participant for participant, _ in group}
            if kind == "patients" and len(participants) >= _CONSTANT and participants == having:
                continue
            for number, first in enumerate(group):
                for second in group[number + 1 :]:
                    if first[0] == second[0] and between_participants:
                        continue
                    if between_participants and _contradict(sessions[first], sessions[second]):
                        continue
                    found.setdefault((first, second), shared)
    return [Repetition(first, second, shared) for (first, second), shared in sorted(found.items())]


def _contradict(one: Identity, other: Identity) -> bool:
    """Return whether two sessions state two patients, whose equal ids an anonymiser or two hospitals have made."""
    return any(mine and theirs and mine != theirs for mine, theirs in zip(one.details, other.details, strict=True))


def require_distinct_patients(sheet: str | Path, found: Iterable[Repetition]) -> None:
    """Require that no two participants of a sheet are one patient.

    Args:
        sheet: for the message.
        found: as of `repetitions`.

    Raises:
        InputError: two are; with it, the split would leak into the test.
    """
    pairs = [one for one in found if one.of_two_participants]
    if pairs:
        more = f" ({len(pairs)} such pairs)" if len(pairs) > 1 else ""
        raise InputError(
            f"{sheet}: {pairs[0]}{more}, so one patient could be in training and test; give their rows one participant_id or "
            "leave one out (if they are two patients, correct the ids in their files)"
        )
