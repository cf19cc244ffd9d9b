"""Sheets of sessions for folders with a known layout: MIDS or BIDS, SPIDER, DICOM exports."""

import csv
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from lumbarseg.atomic_io import atomic_write
from lumbarseg.cohort.sheet import DEMOGRAPHICS
from lumbarseg.cohort.table import read_table
from lumbarseg.errors import InputError
from lumbarseg.geometry import ITK_ENDINGS, NIFTI_ENDINGS

COLUMNS = ("participant_id", "session_id", "t2w", "t1w", "mask", *DEMOGRAPHICS)

Row = dict[str, str]

logger = logging.getLogger("lumbarseg")

_IMAGE = re.compile(r"sub-(?P<participant>[A-Za-z0-9]+)_ses-(?P<session>[A-Za-z0-9]+)_(?P<rest>.*)")
_MASKS = re.compile(r"(^|_)(dseg|seg|mask|label[s]?)$")


def write_sheet(path: str | Path, layout: str, folder: str | Path, masks: str | Path | None = None) -> int:
    """Write the sheet of a folder's sessions; an existing sheet is never overwritten.

    Args:
        path: the sheet.
        layout: `mids`, `spider` or `dicom`.
        folder: the folder of the images.
        masks: the folder of the masks; None if the layout defines it.

    Returns:
        The number of sessions.

    Raises:
        InputError: the sheet exists already, the folder does not, or it holds nothing in this layout.
    """
    sheet, folder = Path(path), Path(folder)
    if sheet.exists():
        raise InputError(f"{sheet}: the sheet exists already; edit it, or move it away first")
    for place in [folder, *([Path(masks)] if masks else [])]:
        if not place.is_dir():
            raise InputError(f"{place}: folder not found; fix the path in `layout` of the config")
    rows = list(_LAYOUTS[layout](folder.resolve(), Path(masks).resolve() if masks else None))
    if not rows:
        raise InputError(
            f"{folder}: no images in the layout `{layout}` (see docs/layouts/{layout}.md); choose another layout, or write "
            "the sheet by hand"
        )
    with atomic_write(sheet) as temporary, temporary.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _mids(folder: Path, masks: Path | None) -> Iterator[Row]:
    """Yield rows of `sub-<p>/ses-<s>/…/sub-<p>_ses-<s>_…_T2w.nii.gz`, masks next to them, in `derivatives` or apart."""
    demographics = _participants(folder)
    found: dict[tuple[str, str], dict[str, list[Path]]] = {}
    places = [*sorted(folder.rglob("sub-*_ses-*")), *(sorted(masks.rglob("sub-*_ses-*")) if masks else [])]
    for path in dict.fromkeys(places):
        stem, name = _stem(path), _IMAGE.match(path.name)
        if not stem or not name:
            continue
        of_session = found.setdefault((name["participant"], name["session"]), {})
        if _MASKS.search(stem):
            of_session.setdefault("mask", []).append(path)
        elif "derivatives" not in path.relative_to(folder).parts[:1] and stem.endswith(("_T2w", "_T1w")):
            of_session.setdefault(stem[-3:].lower(), []).append(path)
    for (participant, session), images in sorted(found.items()):
        if "t2w" not in images:
            continue
        row = {"participant_id": participant, "session_id": session, **demographics.get(participant, {})}
        for column, paths in images.items():
            sagittal = [path for path in paths if "sag" in path.name.lower()] or paths
            if len(sagittal) > 1:
                logger.warning(
                    "sub-%s ses-%s: %d files could be the %s; the sheet names %s, please check",
                    participant, session, len(sagittal), column, sagittal[0].name,
                )  # fmt: skip
            row[column] = str(sagittal[0])
        yield row


def _participants(folder: Path) -> dict[str, Row]:
    """Read age, sex, weight and site by participant from `participants.tsv`, if there is one."""
    table = folder / "participants.tsv"
    if not table.is_file():
        return {}
    return {
        row["participant_id"].removeprefix("sub-"): {
            name: row[name] for name in DEMOGRAPHICS if row.get(name, "n/a") != "n/a"
        }
        for _, row in read_table(table, ["participant_id"])
    }


def _spider(folder: Path, masks: Path | None) -> Iterator[Row]:
    """Yield rows of `images/<n>_t2.mha` and `<n>_t1.mha`, with masks of the same names in `masks`."""
    images, masks = folder / "images", masks or folder / "masks"
    numbers = [path.name.split("_")[0] for path in images.glob("*_t2.mha")]
    for number in sorted(numbers, key=lambda text: (not text.isdigit(), text.zfill(9))):
        row = {"participant_id": number, "session_id": "01", "t2w": str(images / f"{number}_t2.mha")}
        for column, path in (("t1w", images / f"{number}_t1.mha"), ("mask", masks / f"{number}_t2.mha")):
            row[column] = str(path) if path.is_file() else ""
        yield row


def _dicom(folder: Path, masks: Path | None) -> Iterator[Row]:
    """Yield one row per patient's folder, masks named like the folders. Patients get numbers instead of folder names."""
    patients = sorted(path for path in folder.iterdir() if path.is_dir() and path != masks)
    by_stem: dict[str, Path] = {}
    for path in sorted(masks.iterdir()) if masks else []:
        if _stem(path):
            by_stem[_stem(path)] = path
    unused = Counter(by_stem)
    for number, patient in enumerate(patients, start=1):
        unused.pop(patient.name, None)
        yield {
            "participant_id": f"p{number:0{max(3, len(str(len(patients))))}d}", "session_id": "01",
            "t2w": str(patient), "t1w": str(patient), "mask": str(by_stem.get(patient.name, "")),
        }  # fmt: skip
    if unused:
        logger.warning(
            "%s: %d masks have no patient folder of the same name and are not in the sheet", masks, len(unused)
        )


_LAYOUTS: dict[str, Callable[[Path, Path | None], Iterator[Row]]] = {"mids": _mids, "spider": _spider, "dicom": _dicom}


def _stem(path: Path) -> str:
    """Return a file name without its image ending; empty if it has none."""
    for ending in sorted((*NIFTI_ENDINGS, *ITK_ENDINGS), key=len, reverse=True):
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return ""
