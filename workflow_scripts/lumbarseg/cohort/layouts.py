"""Sheets of sessions for folders with a known layout: MIDS or BIDS, SPIDER, DICOM exports."""

import csv
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lumbarseg.atomic_io import atomic_write
from lumbarseg.cohort.demographics import read_demographic
from lumbarseg.cohort.sheet import DEMOGRAPHICS
from lumbarseg.cohort.table import encoding_warning, read_table, whole_number_as_text
from lumbarseg.errors import InputError
from lumbarseg.geometry import ITK_ENDINGS, NIFTI_ENDINGS
from lumbarseg.spreadsheets import harmless_text
from lumbarseg.user_files import files_below, is_system_folder, printable

_PATHS = ("t2w", "t1w", "mask")
COLUMNS = ("participant_id", "session_id", *_PATHS, *DEMOGRAPHICS)

Row = dict[str, str]

logger = logging.getLogger("lumbarseg")

# Sessions are optional in BIDS.
_IMAGE = re.compile(r"sub-(?P<participant>[A-Za-z0-9]+)_(?:ses-(?P<session>[A-Za-z0-9]+)_)?(?!ses-)(?P<rest>.*)")
_ONLY_SESSION = "01"
_MASKS = re.compile(r"(^|_)(dseg|seg|mask|label[s]?)$")
_SLICER_ENDINGS = (".seg.nrrd", ".seg.nhdr")

# Files that may be meant as an image or a mask, although their names do not follow the layout.
_LIKE_IMAGE = re.compile(r"t[12]w|seg|mask|label", re.IGNORECASE)
_SIDECARS = (
    ".json", ".tsv", ".csv", ".txt", ".label", ".html", ".md", ".pdf", ".png", ".jpg", ".svg", ".bval", ".bvec", ".raw", ".raw.gz",
    ".zraw",
)  # fmt: skip

# Parts of a name (`desc-manual`) that a mask has in addition to those of its image.
_OF_MASKS = ("atlas", "den", "desc", "label", "mode", "res", "seg", "space")
_SAME_STEM, _SAME_ENTITIES, _OTHER_IMAGE = range(3)

_SHOWN = 20  # files that a warning lists; the log has all
_SHOWN_CHARACTERS = 40  # of a cell in a warning


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
        InputError: the sheet exists already, the folder does not, it holds nothing in this layout, or a name in it cannot be
            written to a sheet.
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
    _require_plain_names(found.rows)
    with atomic_write(sheet) as temporary, temporary.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: harmless_text(cell) for name, cell in row.items()} for row in found.rows)
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


def _require_plain_names(rows: list[Row]) -> None:
    """Require paths that are read from a sheet as they are written to it.

    Raises:
        InputError: names the first that is not, with escapes.
    """
    for path in (row.get(column, "") for row in rows for column in _PATHS):
        if path != path.strip() or re.search(r"[\0-\x1f]", path):
            raise InputError(
                f"{path!r}: a name with a control character (tab, line break) or a blank at its end, which a sheet cannot hold; "
                "rename the folder or file"
            )
        if path != harmless_text(path):
            raise InputError(
                f"{path}: a name that a spreadsheet would run as a formula, which a sheet cannot hold; rename the folder or file"
            )


def _report_passed_over(folder: Path, paths: list[Path]) -> None:
    names = [printable(str(path.relative_to(folder) if path.is_relative_to(folder) else path)) for path in paths]
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
    masks_inside = masks if masks and masks != folder and masks.is_relative_to(folder) else None
    for path in dict.fromkeys([*files_below(folder), *(files_below(masks) if masks else [])]):
        stem, name = _stem(path), _IMAGE.match(path.name)
        is_mask = bool(_MASKS.search(stem)) or path.name.endswith(_SLICER_ENDINGS)
        apart = not path.is_relative_to(folder) or bool(masks_inside and path.is_relative_to(masks_inside))
        derived = apart or path.relative_to(folder).parts[0] == "derivatives"
        is_image = not is_mask and not derived and stem.endswith(("_T2w", "_T1w"))
        if name and (is_mask or is_image):
            of_session = sessions.setdefault((name["participant"], name["session"] or ""), {})
            of_session.setdefault("mask" if is_mask else stem[-3:].lower(), []).append(path)
        elif _may_be_image(path) and (apart or _LIKE_IMAGE.search(path.name)):
            found.passed_over.append(path)
        elif not stem and path.parent.name.endswith(("_T2w", "_T1w")):  # a folder of DICOM files
            found.passed_over.append(path.parent)
    unlike: list[str] = []
    # Files without a session are not joined with those of session 01: they are the patient's session 01 if no T2w is.
    for (participant, named), images in sorted(
        sessions.items(), key=lambda item: (item[0][0], item[0][1] or _ONLY_SESSION)
    ):
        session = named or _ONLY_SESSION
        if "t2w" not in images or (not named and "t2w" in sessions.get((participant, session), {})):
            found.passed_over += [path for paths in images.values() for path in paths]
            continue
        row = {"participant_id": participant, "session_id": session, **demographics.get(participant, {})}
        for column, paths in ((column, images[column]) for column in _PATHS if column in images):
            likely = paths
            if column == "mask":
                likely = _likely_masks(paths, row["t2w"])
            elif column == "t1w":
                likely = _same_acquisition(paths, row["t2w"])
            sagittal = [path for path in likely if "sag" in path.name.lower()] or likely
            if len(sagittal) > 1:
                logger.warning(
                    "sub-%s ses-%s: %d files could be the %s; the sheet names %s, please check",
                    participant, session, len(sagittal), column, sagittal[0].name,
                )  # fmt: skip
            if column == "mask" and _relation(sagittal[0], row["t2w"]) == _OTHER_IMAGE:
                logger.warning(
                    "sub-%s ses-%s: the name of the mask %s is that of another image than %s, please check",
                    participant, session, sagittal[0].name, Path(row["t2w"]).name,
                )  # fmt: skip
            acquisitions = {_acquisition(sagittal[0]), _acquisition(Path(row.get("t2w", "")))} - {""}
            if column == "t1w" and len(acquisitions) > 1:
                unlike.append(f"sub-{participant} ses-{session} ({sagittal[0].name})")
            row[column] = str(sagittal[0])
            found.passed_over += [path for path in paths if path != sagittal[0]]
        found.rows.append(row)
    found.passed_over = sorted(set(found.passed_over))
    if unlike:
        more = f" and {len(unlike) - _SHOWN} more" if len(unlike) > _SHOWN else ""
        logger.warning(
            "%d sessions have T1w and T2w whose names differ in `acq`, please check: %s%s",
            len(unlike), ", ".join(unlike[:_SHOWN]), more,
        )  # fmt: skip
    return found


def _acquisition(image: Path) -> str:
    """Return the entity `acq` of a name, in small letters; empty if there is none."""
    named = re.search(r"_acq-([A-Za-z0-9]+)", image.name)
    return named[1].lower() if named else ""


def _same_acquisition(images: list[Path], t2w: str) -> list[Path]:
    """Return the images with the `acq` of the T2w; all if none has it."""
    return [image for image in images if _acquisition(image) == _acquisition(Path(t2w))] or images


def _may_be_image(path: Path) -> bool:
    return bool(path.suffix) and not path.name.lower().endswith(_SIDECARS)


def _likely_masks(masks: list[Path], t2w: str) -> list[Path]:
    """Return the masks whose names agree best with that of the T2w."""
    best = min(_relation(mask, t2w) for mask in masks)
    return [mask for mask in masks if _relation(mask, t2w) == best]


def _relation(mask: Path, t2w: str) -> int:
    """Return how the name of a mask is related to that of a T2w: the same stem, nothing that differs, or another image's."""
    of_mask, of_t2w = _stem(mask), _stem(Path(t2w))
    if re.match(rf"{re.escape(of_t2w)}(?![A-Za-z0-9])", of_mask):
        return _SAME_STEM
    added = {part for part in of_mask.split("_") if "-" in part} - set(of_t2w.split("_"))
    differs = any(not part.startswith(tuple(f"{key}-" for key in _OF_MASKS)) for part in added)
    of_t1w = "t1w" in of_mask.lower() and "t2w" not in of_mask.lower()
    return _OTHER_IMAGE if differs or of_t1w else _SAME_ENTITIES


def _participants(folder: Path) -> dict[str, Row]:
    """Read age, sex, weight and site by participant from `participants.tsv`, if there is one."""
    table = folder / "participants.tsv"
    if not table.is_file():
        return {}
    if warning := encoding_warning(table):
        logger.warning("%s", warning)
    demographics: dict[str, Row] = {}
    for line, row in read_table(table, ["participant_id"]):
        participant = whole_number_as_text(row["participant_id"].removeprefix("sub-"))
        if not re.fullmatch("[A-Za-z0-9]+", participant):
            logger.warning(
                "%s, line %d: participant_id “%s” is not made of letters and digits alone; its age, sex, weight and site are not "
                "in the sheet",
                table, line, row["participant_id"],
            )  # fmt: skip
        demographics[participant] = {}
        for name in DEMOGRAPHICS:
            try:
                demographics[participant][name] = read_demographic(name, row.get(name, ""))
            except ValueError as error:
                logger.warning(
                    "%s, line %d: %s “%s” is not %s; it is not in the sheet",
                    table, line, name, printable(row[name][:_SHOWN_CHARACTERS]), error,
                )  # fmt: skip
    return demographics


def _spider(folder: Path, masks: Path | None) -> _Found:
    """Find `images/<n>_t2.mha` and `<n>_t1.mha`, with masks of the same names in `masks`."""
    images, masks = folder / "images", masks or folder / "masks"
    found = _Found()
    # A link without its target has its place in the sheet, whose reader names it.
    there = {path for place in (images, masks) if place.is_dir() for path in place.iterdir() if not _is_hidden(path)}
    numbers = {path.name.removesuffix("_t2.mha") for path in there if path.parent == images and _is_spider_t2(path)}
    for number in sorted(numbers, key=lambda text: (not text.isdigit(), text.zfill(9))):
        row = {"participant_id": number, "session_id": "01", "t2w": str(images / f"{number}_t2.mha")}
        for column, path in (("t1w", images / f"{number}_t1.mha"), ("mask", masks / f"{number}_t2.mha")):
            row[column] = str(path) if path in there else ""
        found.rows.append(row)
    # Of a patient in the sheet, T2-SPACE and the other masks are left out by the layout.
    left_out = {images / f"{number}_t2_SPACE.mha" for number in numbers}
    left_out |= {masks / f"{number}_{other}.mha" for number in numbers for other in ("t1", "t2_SPACE")}
    used = {Path(row[column]) for row in found.rows for column in _PATHS}
    found.passed_over = sorted(there - left_out - used)
    return found


def _is_spider_t2(path: Path) -> bool:
    return re.fullmatch("[^_]+_t2.mha", path.name) is not None


def _dicom(folder: Path, masks: Path | None) -> _Found:
    """Find one patient per folder, masks named like the folders. Patients get numbers instead of folder names."""
    found = _Found()
    places = sorted(path for path in folder.iterdir() if path != masks and not _is_hidden(path))
    patients = [path for path in places if path.is_dir()]
    masks_there = sorted(path for path in masks.iterdir() if not _is_hidden(path)) if masks else []
    by_stem: dict[str, list[Path]] = {}
    for path in masks_there:
        if _stem(path) and not path.is_dir():
            by_stem.setdefault(_stem(path), []).append(path)
    for number, patient in enumerate(patients, start=1):
        of_patient = by_stem.get(patient.name, [])
        if len(of_patient) > 1:
            logger.warning(
                "%s: %d files could be the mask; the sheet names %s, please check",
                patient, len(of_patient), of_patient[-1].name,
            )  # fmt: skip
        found.rows.append({
            "participant_id": f"p{number:0{max(3, len(str(len(patients))))}d}", "session_id": "01",
            "t2w": str(patient), "t1w": str(patient), "mask": str(of_patient[-1]) if of_patient else "",
        })  # fmt: skip
    used = {Path(row[column]) for row in found.rows for column in _PATHS} | {folder}
    files = (path for path in places if not path.is_dir())
    others = (path for path in masks_there if not path.name.lower().endswith(_SIDECARS))
    found.passed_over = [path for path in dict.fromkeys([*files, *others]) if path not in used]
    return found


_LAYOUTS: dict[str, Callable[[Path, Path | None], _Found]] = {"mids": _mids, "spider": _spider, "dicom": _dicom}


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or is_system_folder(path.name)


def _stem(path: Path) -> str:
    """Return a file name without its image ending; empty if it has none."""
    for ending in sorted((*NIFTI_ENDINGS, *ITK_ENDINGS, *_SLICER_ENDINGS), key=len, reverse=True):
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return ""
