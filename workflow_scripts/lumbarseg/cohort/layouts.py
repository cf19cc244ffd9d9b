"""Sheets of sessions for folders with a known layout: MIDS or BIDS, SPIDER, DICOM exports."""

import csv
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lumbarseg.atomic_io import atomic_write
from lumbarseg.cohort.sheet import DEMOGRAPHICS
from lumbarseg.cohort.table import encoding_warning, read_table, whole_number_as_text
from lumbarseg.errors import InputError
from lumbarseg.geometry import ITK_ENDINGS, NIFTI_ENDINGS
from lumbarseg.user_files import files_below

COLUMNS = ("participant_id", "session_id", "t2w", "t1w", "mask", *DEMOGRAPHICS)

Row = dict[str, str]

logger = logging.getLogger("lumbarseg")

# Sessions are optional in BIDS.
_IMAGE = re.compile(r"sub-(?P<participant>[A-Za-z0-9]+)_(?:ses-(?P<session>[A-Za-z0-9]+)_)?(?!ses-)(?P<rest>.*)")
_ONLY_SESSION = "01"
_MASKS = re.compile(r"(^|_)(dseg|seg|mask|label[s]?)$")
_SLICER_ENDINGS = (".seg.nrrd", ".seg.nhdr")

_SHOWN = 20  # files that a warning lists; the log has all


@dataclass
class _Found:
    """What a folder holds: rows of the sheet, and what is in none of them."""

    rows: list[Row] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)


def write_sheet(path: str | Path, layout: str, folder: str | Path, masks: str | Path | None = None) -> int:
    """Write the sheet of a folder's sessions; an existing sheet is never overwritten.

    What is passed over is listed in a warning: files and folders that the layout has no row for.

    Args:
        path: the sheet.
        layout: `mids`, `spider` or `dicom`.
        folder: the folder of the images.
        masks: the folder of the masks; None if the layout defines it.

    Returns:
        The number of sessions.

    Raises:
        InputError: the sheet exists already, the folder does not, it holds nothing in this layout, or a name in it is not
            UTF-8.
    """
    sheet, folder = Path(path), Path(folder)
    if sheet.exists():
        raise InputError(f"{sheet}: the sheet exists already; edit it, or move it away first")
    for place in [folder, *([Path(masks)] if masks else [])]:
        if not place.is_dir():
            raise InputError(f"{place}: folder not found; fix the path in `layout` of the config")
    found = _LAYOUTS[layout](folder.resolve(), Path(masks).resolve() if masks else None)
    if not found.rows:
        raise InputError(
            f"{folder}: no images in the layout `{layout}` (see docs/layouts/{layout}.md); choose another layout, or write "
            "the sheet by hand"
        )
    _require_utf8(found.rows)
    with atomic_write(sheet) as temporary, temporary.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(found.rows)
    _report_passed_over(folder.resolve(), found.passed_over)
    return len(found.rows)


def _require_utf8(rows: list[Row]) -> None:
    """Require paths that can be written to a sheet.

    Raises:
        InputError: names the first that cannot, with escapes.
    """
    paths = list(dict.fromkeys(cell for row in rows for cell in row.values()))
    bad = [path for path in paths if path != path.encode("utf-8", "replace").decode("utf-8")]
    if bad:
        raise InputError(
            f"{bad[0]}: a name that is not UTF-8 ({len(bad)} such paths), which a sheet cannot hold; rename the folder or file "
            "(convmv renames all of a folder)"
        )


def _report_passed_over(folder: Path, paths: list[Path]) -> None:
    names = [str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in paths]
    for name in names:
        logger.info("not in the sheet: %s", name)
    if names:
        more = f" and {len(names) - _SHOWN} more (all are in the log)" if len(names) > _SHOWN else ""
        logger.warning(
            "%s: %d files or folders are not in the sheet: %s%s", folder, len(names), ", ".join(names[:_SHOWN]), more
        )


def _mids(folder: Path, masks: Path | None) -> _Found:
    """Find `sub-<p>[/ses-<s>]/…/sub-<p>[_ses-<s>]_…_T2w.nii.gz`, masks next to them, in `derivatives` or apart."""
    demographics = _participants(folder)
    found = _Found()
    sessions: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for path in dict.fromkeys([*files_below(folder), *(files_below(masks) if masks else [])]):
        stem, name = _stem(path), _IMAGE.match(path.name)
        is_mask = bool(_MASKS.search(stem)) or path.name.endswith(_SLICER_ENDINGS)
        derived = not path.is_relative_to(folder) or path.relative_to(folder).parts[0] == "derivatives"
        is_image = not is_mask and not derived and stem.endswith(("_T2w", "_T1w"))
        if name and (is_mask or is_image):
            of_session = sessions.setdefault((name["participant"], name["session"] or _ONLY_SESSION), {})
            of_session.setdefault("mask" if is_mask else stem[-3:].lower(), []).append(path)
        elif stem and (is_image or (is_mask and path.name.startswith("sub-"))):
            found.passed_over.append(path)
    for (participant, session), images in sorted(sessions.items()):
        if "t2w" not in images:
            found.passed_over += [path for paths in images.values() for path in paths]
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
            found.passed_over += [path for path in paths if path != sagittal[0]]
        found.rows.append(row)
    found.passed_over.sort()
    return found


def _participants(folder: Path) -> dict[str, Row]:
    """Read age, sex, weight and site by participant from `participants.tsv`, if there is one."""
    table = folder / "participants.tsv"
    if not table.is_file():
        return {}
    if warning := encoding_warning(table):
        logger.warning("%s", warning)
    return {
        whole_number_as_text(row["participant_id"].removeprefix("sub-")): {
            name: row[name] for name in DEMOGRAPHICS if row.get(name, "n/a") != "n/a"
        }
        for _, row in read_table(table, ["participant_id"])
    }


def _spider(folder: Path, masks: Path | None) -> _Found:
    """Find `images/<n>_t2.mha` and `<n>_t1.mha`, with masks of the same names in `masks`."""
    images, masks = folder / "images", masks or folder / "masks"
    found = _Found()
    # A link without its target has its place in the sheet, whose reader names it.
    there = {path for place in (images, masks) if place.is_dir() for path in place.iterdir() if path.name[0] != "."}
    numbers = {path.name.removesuffix("_t2.mha") for path in there if path.parent == images and _is_spider_t2(path)}
    for number in sorted(numbers, key=lambda text: (not text.isdigit(), text.zfill(9))):
        row = {"participant_id": number, "session_id": "01", "t2w": str(images / f"{number}_t2.mha")}
        for column, path in (("t1w", images / f"{number}_t1.mha"), ("mask", masks / f"{number}_t2.mha")):
            row[column] = str(path) if path in there else ""
        found.rows.append(row)
    # Of a patient in the sheet, T2-SPACE and the other masks are left out by the layout.
    found.passed_over = sorted(path for path in there if path.name.split("_")[0] not in numbers)
    return found


def _is_spider_t2(path: Path) -> bool:
    return re.fullmatch("[^_]+_t2.mha", path.name) is not None


def _dicom(folder: Path, masks: Path | None) -> _Found:
    """Find one patient per folder, masks named like the folders. Patients get numbers instead of folder names."""
    found = _Found()
    places = sorted(path for path in folder.iterdir() if path != masks and not path.name.startswith("."))
    patients = [path for path in places if path.is_dir()]
    by_stem: dict[str, Path] = {}
    for path in sorted(masks.iterdir()) if masks else []:
        if _stem(path):
            by_stem[_stem(path)] = path
    for number, patient in enumerate(patients, start=1):
        found.rows.append({
            "participant_id": f"p{number:0{max(3, len(str(len(patients))))}d}", "session_id": "01",
            "t2w": str(patient), "t1w": str(patient), "mask": str(by_stem.pop(patient.name, "")),
        })  # fmt: skip
    found.passed_over = [*(path for path in places if not path.is_dir()), *by_stem.values()]
    return found


_LAYOUTS: dict[str, Callable[[Path, Path | None], _Found]] = {"mids": _mids, "spider": _spider, "dicom": _dicom}


def _stem(path: Path) -> str:
    """Return a file name without its image ending; empty if it has none."""
    for ending in sorted((*NIFTI_ENDINGS, *ITK_ENDINGS, *_SLICER_ENDINGS), key=len, reverse=True):
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return ""
