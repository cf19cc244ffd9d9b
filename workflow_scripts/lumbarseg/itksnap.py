"""ITK-SNAP's label description file: numbers, colours and names of labels, read and written."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lumbarseg.atomic_io import atomic_write
from lumbarseg.errors import InputError
from lumbarseg.labels import LabelTable

_HEAD = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""
_LINE = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+[01]\s+[01]\s+"([^"]*)"\s*')
CLEAR = "Clear Label"
"""What ITK-SNAP calls label 0; it stands for the background."""


def write_descriptions(path: str | Path, classes: LabelTable) -> None:
    """Write the label table for ITK-SNAP (Segmentation → Import Label Descriptions); the background is transparent."""
    rows = []
    for tissue, (red, green, blue) in zip(classes, classes.colours().tolist(), strict=True):
        shown = int(tissue.id != classes.background)
        name = CLEAR if tissue.id == 0 and not shown else tissue.name
        rows.append(f'{tissue.id:5d}   {red:3d}  {green:3d}  {blue:3d}        {shown}  {shown}  {shown}    "{name}"\n')
    with atomic_write(path) as temporary:
        temporary.write_text(_HEAD + "".join(rows), encoding="utf-8")


def read_descriptions(path: str | Path) -> dict[int, str]:
    """Read which label has which name.

    Args:
        path: as ITK-SNAP writes it (Segmentation → Export Label Descriptions).

    Returns:
        Label → name, in the file's order.

    Raises:
        InputError: no such file, or a line that is no label.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: expected ITK-SNAP's label descriptions, found no such file; correct the path")
    names: dict[int, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if not found or int(found[1]) in names:
            raise InputError(
                f'{file}, line {number}: expected a label of its own, as IDX R G B A VIS MSH "LABEL", found “{line.strip()}”; '
                "export the label descriptions from ITK-SNAP again"
            )
        names[int(found[1])] = found[5]
    return names


def with_described_values(
    classes: Iterable[Mapping[str, Any]], background: int, descriptions: Mapping[int, str], path: str | Path
) -> list[dict[str, Any]]:
    """Give each class the mask values that ITK-SNAP's descriptions name for it.

    Args:
        classes: `classes` of the config.
        background: the id of the class that `Clear Label` stands for.
        descriptions: as `read_descriptions` gives them; letter case and spaces at the ends do not matter.
        path: their file, for the message.

    Returns:
        The classes with `values`; a class without a label keeps none, so that masks cannot hold it.

    Raises:
        InputError: no class but the background has a label.
    """
    named: dict[str, list[int]] = {}
    for label, name in descriptions.items():
        named.setdefault(name.strip().casefold(), []).append(label)
    described = []
    for entry in classes:
        values = list(named.get(entry["name"].strip().casefold(), []))
        if entry["id"] == background:
            values += [label for label in named.get(CLEAR.casefold(), []) if label not in values]
        described.append({**entry, "values": values})
    if not any(entry["values"] for entry in described if entry["id"] != background):
        raise InputError(
            f"{path}: expected labels named as the classes of the config, found {', '.join(descriptions.values())}; rename "
            "them in ITK-SNAP or in the config"
        )
    return described
