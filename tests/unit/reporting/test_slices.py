"""Slices that figures show, stored and restored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lumbarseg.reporting.slices import Case, LabelledSlice, Preprocessing, restore_slices, store_slices

TRUTH = np.broadcast_to(np.arange(48) * 3 // 48, (64, 48)).astype(np.uint8)
SPACING = (0.6, 0.6)
SLICES = {
    "cases": [
        Case("best", TRUTH * 1.5, t1w, TRUTH, {"E12+NAD+TH": TRUTH, "U1+TH": TRUTH * 0}, SPACING)
        for t1w in (None, TRUTH * 2.0)
    ],
    "steps": [Preprocessing(TRUTH, None, None, TRUTH * 1.0, None, TRUTH, SPACING, [0, 16, 32], [0, 16], 32)],
    "examples": [LabelledSlice(TRUTH, TRUTH, TRUTH, SPACING, "middle")],
}


@pytest.mark.parametrize("items", SLICES.values(), ids=SLICES)
def test_restore_slices_returns_what_was_stored(tmp_path: Path, items: list[Any]) -> None:
    store_slices(tmp_path / "slices.npz", items)
    found = restore_slices(tmp_path / "slices.npz", type(items[0]))
    assert len(found) == len(items)
    for one, other in zip(found, items, strict=True):
        for name, value in vars(other).items():
            restored = getattr(one, name)
            if isinstance(value, np.ndarray):
                assert restored.dtype == value.dtype
                np.testing.assert_array_equal(restored, value)
            elif isinstance(value, dict):
                assert list(restored) == list(value)
                np.testing.assert_array_equal(list(restored.values()), list(value.values()))
            else:
                assert restored == (tuple(value) if isinstance(value, list) else value), name
