"""Masks whose files carry the names of their labels, which say what the numbers alone do not.

Read are the segments of 3D Slicer (`.seg.nrrd`), the label groups of MITK (NRRD), and the label tables in the headers of NIfTI
files: that of Connectome Workbench and TotalSegmentator, and that of AFNI. ITK-SNAP writes names to a file of their own, read by
`itksnap`.

Sources: 3D Slicer's developer guide, “Segmentation labelmap file format”; MITK's `MultiLabelSegmentationIO`; `CaretExtension` of
Connectome Workbench's NIfTI headers; AFNI's attribute `VALUE_LABEL_DTABLE`.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lumbarseg.errors import InputError
from lumbarseg.geometry import ITK_ENDINGS, NIFTI_ENDINGS, NIFTI_ERRORS, header_fields, load_image, load_layers
from lumbarseg.itksnap import CLEAR
from lumbarseg.labels import LabelTable

_SEGMENT = re.compile(r"Segment(\d+)_(ID|Name|LabelValue|Layer)")
_SLICER_FIELD = re.compile(r"Segment(?:ation|\d+)_")
_SLICER_ENDINGS = (".seg.nrrd", ".seg.nhdr", ".seg.mha", ".seg.mhd")
_MITK = "org.mitk.multilabel.segmentation"
_MITK_MODALITIES = (_MITK, "org.mitk.image.multilabel")  # the latter until 2023
_CARET_LABEL = re.compile(r"<Label\s[^>]*?Key\s*=\s*[\"'](-?\d+)[\"'][^>]*?(?:/>|>(.*?)</Label>)", re.DOTALL)
_EMPTY_TABLE = re.compile(r"<LabelTable\b[^>]*(?:/>|>\s*</LabelTable>)")
_TABLE = re.compile(r"<(?:[\w.-]+:)?LabelTable\b|\b(?:VALUE_LABEL_DTABLE|ATLAS_LABEL_TABLE)\b")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_AFNI_LABEL = re.compile(r'"(-?\d+)"\s+"([^"]*)"')

_SHOWN = 8  # names in a message


@dataclass(frozen=True)
class Label:
    """A label that a file describes: its name, and its value in one of the layers."""

    name: str
    value: int
    layer: int = 0


@dataclass(frozen=True)
class NamedMask:
    """A mask and the names of its labels.

    Attributes:
        layers: volumes on one grid, (i, j, k), in each of which a voxel has one label.
        labels: the labels that the file describes.
        may_be_cropped: whether the program that wrote the file may have left out empty margins of the grid.
        lacking: why labels have no names, for messages; empty if the names are read.
    """

    layers: Sequence[nib.Nifti1Image]
    labels: Sequence[Label]
    may_be_cropped: bool
    lacking: str = ""

    def to_classes(
        self, values: Sequence[NDArray[np.integer]], table: LabelTable, path: str | Path
    ) -> NDArray[np.uint8]:
        """Convert the labels to class ids, by name.

        A label whose name no class has is converted by its value, but only if the config says which values a class has. Letter
        case and surrounding spaces are ignored. Voxels without a label are background.

        Args:
            values: of each layer, whole numbers, (i, j, k).
            table: the classes.
            path: the file, for messages.

        Returns:
            (i, j, k) uint8.

        Raises:
            InputError: a label has neither the name nor a value of a class, two labels share a value, or labels of two classes
                overlap.
        """
        classes = np.full(values[0].shape, table.background, np.uint8)
        meaning = self._meaning(values, table, path)
        for layer, found in enumerate(values):
            for value in np.unique(found).tolist():
                class_id = meaning[layer, value]
                if class_id == table.background:
                    continue
                places = found == value
                overlapping = int((places & ~np.isin(classes, (table.background, class_id))).sum())
                if overlapping:
                    raise InputError(
                        f"{path}: {overlapping} voxels of {table.names[class_id]} belong to another class too; let segments "
                        "overwrite each other where they overlap, and save it again"
                    )
                classes[places] = class_id
        return classes

    def _meaning(
        self, values: Sequence[NDArray[np.integer]], table: LabelTable, path: str | Path
    ) -> dict[tuple[int, int], int]:
        """Return the class of each value of each layer."""
        by_name = {CLEAR.casefold(): table.background, "background": table.background} | {
            tissue.name.strip().casefold(): tissue.id for tissue in table
        }
        by_value = {value: tissue.id for tissue in table if tissue.has_own_values for value in tissue.values}
        names: dict[tuple[int, int], str] = {}
        for label in self.labels:
            named = by_name.get(label.name.strip().casefold(), table.background)
            if label.value == 0 and named not in (table.background, by_value.get(0)):
                raise InputError(
                    f"{path}: the label “{label.name}” has the value 0, which voxels without a label have; save the "
                    "segmentation again"
                )
            if names.setdefault((label.layer, label.value), label.name) != label.name:
                raise InputError(
                    f"{path}: the labels “{names[label.layer, label.value]}” and “{label.name}” have the same value "
                    f"{label.value}; save the segmentation again"
                )
        meaning: dict[tuple[int, int], int] = {}
        unknown: dict[str, int] = {}
        for layer, found in enumerate(values):
            for value, count in zip(*np.unique(found, return_counts=True), strict=True):
                name = names.get((layer, int(value)), "")
                class_id = by_name.get(name.strip().casefold(), by_value.get(int(value)))
                if value == 0 and (class_id is None or len(values) > 1):
                    # Without a class of its own, 0 is where no label is.
                    class_id = table.background
                if class_id is None:
                    shown = f"“{name}” ({value})" if name else f"{value} (without a name)"
                    unknown[shown] = unknown.get(shown, 0) + int(count)
                else:
                    meaning[layer, int(value)] = class_id
        if unknown:
            raise InputError(
                f"{path}: {f'{self.lacking}; ' if self.lacking else ''}the labels {', '.join([*unknown][:_SHOWN])} in "
                f"{sum(unknown.values())} voxels have the name of no "
                f"class (classes: {', '.join(table.names)}); rename them in the program that wrote the file, or give their "
                "values to classes (`values` in the config)"
            )
        return meaning


def read_named_mask(path: str | Path) -> NamedMask | None:
    """Read a mask whose file carries the names of its labels.

    Args:
        path: NIfTI, MHA or NRRD.

    Returns:
        The mask with its names; None if the file is not of a kind that has names, or is not readable. A segmentation of 3D Slicer
        or MITK and a label table have none if they are incomplete or of an unknown form: their numbers alone say nothing.

    Raises:
        InputError: the file has names but not one volume of each layer, or its description of labels is damaged.
    """
    path = Path(path)
    if path.name.lower().endswith(ITK_ENDINGS) and path.is_file():
        fields = header_fields(path)
        is_slicer = path.name.casefold().endswith(_SLICER_ENDINGS) or any(map(_SLICER_FIELD.match, fields))
        is_mitk = fields.get("modality") in _MITK_MODALITIES or f"{_MITK}.labelgroups" in fields
        try:
            labels = list(_slicer(fields)) or list(_mitk(fields))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: damaged description of its labels ({error}); save it again") from error
        if not (labels or is_slicer or is_mitk):
            return None
        layers = load_layers(path)
        if is_slicer and layers[0].shape == (1, 1, 1):
            raise InputError(f"{path}: a segmentation without voxels; save it again, or name another file")
        old = is_mitk and f"{_MITK}.labelgroups" not in fields
        lacking = "names written by MITK before 2023 are not read" if old else "the file has no names of labels"
        return NamedMask(layers, labels, may_be_cropped=is_slicer, lacking="" if labels else lacking)
    if not path.name.lower().endswith(NIFTI_ENDINGS):
        return None
    tables = [_table(text) for text in _nifti_tables(path)]
    if not tables:
        return None
    labels = [label for table in tables for label in table]
    lacking = "" if all(tables) else "its header has a label table that cannot be read"
    return NamedMask([load_image(path)], labels, may_be_cropped=False, lacking=lacking)


def _slicer(fields: Mapping[str, str]) -> Iterator[Label]:
    """Yield the segments of 3D Slicer. Files before version 5 have a layer for each segment, and no numbers."""
    segments: dict[int, dict[str, str]] = {}
    for key, text in fields.items():
        if found := _SEGMENT.fullmatch(key):
            segments.setdefault(int(found[1]), {})[found[2]] = text
    for number, segment in sorted(segments.items()):
        layer = int(segment.get("Layer", number if "LabelValue" not in segment else 0))
        yield Label(segment.get("Name", segment.get("ID", "")), int(segment.get("LabelValue", 1)), layer)


def _mitk(fields: Mapping[str, str]) -> Iterator[Label]:
    """Yield the labels of MITK, whose groups are layers; none of versions before 2023."""
    for layer, group in enumerate(json.loads(fields.get(f"{_MITK}.labelgroups", "[]"))):
        for label in group.get("labels") or []:
            yield Label(str(label["name"]), int(label["value"]), layer)


def _nifti_tables(path: Path) -> Iterator[str]:
    """Yield the extensions of a NIfTI header with a table of labels; none of files that cannot be read."""
    try:
        header: Any = nib.load(path).header
    except NIFTI_ERRORS:
        return
    for extension in getattr(header, "extensions", ()):
        text = extension.content.decode("utf-8", "replace")
        # UTF-16 is recognised by its zeros, but not read.
        if _TABLE.search(text.replace("\0", "")) and not _EMPTY_TABLE.search(text):
            yield text


def _table(text: str) -> list[Label]:
    """Return the labels of a table in a NIfTI header; none if it is of no known form."""
    if "<LabelTable" in text:
        found = [
            (value, _CDATA.sub(lambda part: html.escape(part[1]), inner)) for value, inner in _CARET_LABEL.findall(text)
        ]
        return [Label(html.unescape(name), int(value)) for value, name in found]
    table = html.unescape(text.partition("VALUE_LABEL_DTABLE")[2]).partition("</AFNI_atr>")[0]
    return [Label(name, int(value)) for value, name in _AFNI_LABEL.findall(table)]
