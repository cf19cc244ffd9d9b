"""Reading and writing of ITK-SNAP's label description files: numbers, colours and names of labels."""

import re
from collections.abc import Mapping
from pathlib import Path

from lumbarseg.atomic_io import atomic_write
from lumbarseg.errors import InputError
from lumbarseg.labels import LabelTable
from lumbarseg.user_files import read_text

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
_LINE = re.compile(r'\s*(\d{1,9})\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+[01]\s+[01]\s+"([^"]*)"\s*')
CLEAR = "Clear Label"
"""ITK-SNAP's name of label 0, the background."""


def write_descriptions(path: str | Path, classes: LabelTable, values: Mapping[int, int] | None = None) -> None:
    """Write the label table for ITK-SNAP (Segmentation → Import Label Descriptions); the background is transparent.

    Args:
        path: the file to write.
        classes: the label table.
        values: by class id, its label (`LabelTable.mask_values`); by default the id. Classes without a label are left out.
    """
    label_of = {tissue.id: tissue.id for tissue in classes} if values is None else values
    rows = []
    for tissue, (red, green, blue) in zip(classes, classes.colours().tolist(), strict=True):
        if tissue.id not in label_of:
            continue
        label, shown = label_of[tissue.id], int(tissue.id != classes.background)
        name = CLEAR if label == 0 and not shown else tissue.name
        rows.append(f'{label:5d}   {red:3d}  {green:3d}  {blue:3d}        {shown}  {shown}  {shown}    "{name}"\n')
    with atomic_write(path) as temporary:
        temporary.write_text(_HEAD + "".join(rows), encoding="utf-8")


def read_descriptions(path: str | Path) -> dict[int, str]:
    """Read the names of labels.

    Args:
        path: a file written by ITK-SNAP (Segmentation → Export Label Descriptions).

    Returns:
        Label → name, in the file's order.

    Raises:
        InputError: the file does not exist, a line is not a label, or a label is described twice.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: ITK-SNAP label descriptions not found; fix `label_descriptions` in the config")
    names: dict[int, str] = {}
    for number, line in enumerate(read_text(file)[0].split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise InputError(
                f'{file}, line {number}: “{line.strip()}” is not a label (IDX R G B A VIS MSH "LABEL"); export the label '
                "descriptions from ITK-SNAP again"
            )
        if int(found[1]) in names:
            raise InputError(f"{file}, line {number}: label {found[1]} is described twice; remove one of the lines")
        names[int(found[1])] = found[5]
    return names


def with_described_values(labels: LabelTable, descriptions: Mapping[int, str], path: str | Path) -> LabelTable:
    """Return the label table with the mask values that ITK-SNAP's descriptions name for its classes.

    Args:
        labels: the config's classes; `Clear Label` means its background.
        descriptions: from `read_descriptions`; letter case and surrounding spaces are ignored.
        path: their file, for the message.

    Returns:
        The classes with these `values`; a class without a label gets none, so masks cannot contain it.

    Raises:
        InputError: only the background has a label.
    """
    named: dict[str, list[int]] = {}
    for label, name in descriptions.items():
        named.setdefault(name.strip().casefold(), []).append(label)
    described = []
    for tissue in labels:
        values = list(named.get(tissue.name.strip().casefold(), []))
        if tissue.id == labels.background:
            values += [label for label in named.get(CLEAR.casefold(), []) if label not in values]
        described.append({"id": tissue.id, "name": tissue.name, "colour": tissue.colour, "values": values})
    if not any(entry["values"] for entry in described if entry["id"] != labels.background):
        raise InputError(
            f"{path}: no label has the name of a class in the config (labels: {', '.join(descriptions.values())}); rename the "
            "labels in ITK-SNAP or the classes in the config"
        )
    return LabelTable(described, labels.background)
