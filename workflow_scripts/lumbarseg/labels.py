"""The label table: ids, names and colours of the tissue classes, and the mask values that belong to each."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lumbarseg.errors import InputError


@dataclass(frozen=True)
class TissueClass:
    """One row of the label table.

    Attributes:
        id: 0 … number of classes − 1; the value in every mask this project writes.
        name: as printed in the paper, for example `Epi-Fat`.
        colour: `#rrggbb`.
        values: the values of this class in a user's masks; `(id,)` unless the config says otherwise.
        has_own_values: whether the config, or a file of label descriptions, says which values they are.
    """

    id: int
    name: str
    colour: str
    values: tuple[int, ...]
    has_own_values: bool = False


class LabelTable(Sequence[TissueClass]):
    """The classes of a study in the order of their ids, and which of them is the background (Section 3.1.2)."""

    def __init__(self, entries: Iterable[Mapping[str, Any]], background: int = 0) -> None:
        """Make the table from `classes` and `background` of the config.

        Raises:
            InputError: the ids are not 0, 1, 2 … in order, a name or mask value is used twice, or the background is no id.
        """
        self._classes = tuple(
            TissueClass(
                entry["id"],
                entry["name"],
                entry["colour"],
                (entry["id"],) if values is None else tuple(values),
                values is not None,
            )
            for entry, values in ((entry, entry.get("values")) for entry in entries)
        )
        self.background = background
        ids = [tissue.id for tissue in self]
        if ids != list(range(len(ids))):
            raise InputError(f"config, classes: the ids are {ids}, not 0, 1, 2 … in order; renumber the classes")
        if background not in ids:
            raise InputError(f"config, background: {background} is none of the class ids {ids}; name an existing class")
        for what, found in (
            ("name", self.names),
            ("mask value", [value for tissue in self for value in tissue.values]),
        ):
            twice = sorted(str(item) for item, times in Counter[str | int](found).items() if times > 1)
            if twice:
                shown = ", ".join(twice[:8]) + (" …" if len(twice) > 8 else "")
                raise InputError(f"config, classes: the {what} {shown} is used twice; give each class its own")

    def __len__(self) -> int:
        return len(self._classes)

    def __getitem__(self, index: Any) -> Any:
        return self._classes[index]

    @property
    def names(self) -> list[str]:
        """Class names in the order of their ids."""
        return [tissue.name for tissue in self]

    @property
    def foreground_ids(self) -> list[int]:
        """Ids of all classes except the background: C* of equation 4."""
        return [tissue.id for tissue in self if tissue.id != self.background]

    def colours(self) -> NDArray[np.uint8]:
        """Return the colours as (classes, 3) uint8 RGB."""
        return np.array([[int(t.colour[i : i + 2], 16) for i in (1, 3, 5)] for t in self], dtype=np.uint8)

    def to_classes(self, mask: NDArray[Any], source: str) -> NDArray[np.uint8]:
        """Convert the values of a user's mask to class ids.

        Args:
            mask: any shape, whole numbers in any dtype.
            source: the mask's file, for the message.

        Returns:
            Class ids, uint8, the same shape.

        Raises:
            InputError: a value belongs to no class of the table.
        """
        meaning = {value: tissue.id for tissue in self for value in tissue.values}
        found, places = np.unique(mask, return_inverse=True)
        unknown = [value for value in found.tolist() if value not in meaning]
        if unknown:
            shown = ", ".join(f"{value:g}" for value in unknown[:8])
            raise InputError(
                f"{source}: mask values {shown} in {int(np.isin(mask, unknown).sum())} voxels belong to no class (known values: "
                f"{', '.join(map(str, sorted(meaning)))}); fix the mask, or add the values under `classes` in the config"
            )
        lookup = np.array([meaning[value] for value in found.tolist()], dtype=np.uint8)
        return lookup[places].reshape(mask.shape)

    def mask_values(self) -> dict[int, int]:
        """Return for each class id the value that it has in masks for users: the smallest of its values.

        A class without a value (`itksnap.with_described_values`) is left out.
        """
        return {tissue.id: min(tissue.values) for tissue in self if tissue.values}

    def to_mask_values(self, classes: NDArray[np.uint8], source: str) -> NDArray[np.integer]:
        """Convert class ids to the values of a user's masks: `to_classes` reads them back.

        Args:
            classes: any shape, class ids.
            source: what they were made with, for the message.

        Returns:
            `mask_values`, the same shape; uint8, or the smallest type that holds all of them.

        Raises:
            InputError: a class that occurs has no value.
        """
        values = self.mask_values()
        nameless = [self[c].name for c in np.unique(classes).tolist() if c not in values]
        if nameless:
            raise InputError(
                f"{source}: no label means {', '.join(nameless)}; add it, or name the class in `classes_left_out`"
            )
        lookup = np.array([values.get(tissue.id, 0) for tissue in self])
        return lookup.astype(np.result_type(*map(np.min_scalar_type, lookup.tolist())))[classes]
