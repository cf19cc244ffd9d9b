"""What was corrected in drafts, compared with plain loops over pixels."""

import numpy as np
import pytest

from lumbarseg.evaluation.corrections import mean_corrections, session_corrections
from lumbarseg.labels import LabelTable

LABELS = LabelTable(
    [{"id": i, "name": name, "colour": "#808080"} for i, name in enumerate(("Background", "Vert", "Epi-Fat", "Muscle"))]
)
IDENTITY = {"drawn": 2, "participant_id": "007", "session_id": "01", "drafted_by": "UD+TH of starter"}


@pytest.fixture
def pair():
    generator = np.random.default_rng(4)
    corrected = generator.integers(0, 3, (4, 20, 15)).astype(np.uint8)  # without Muscle
    draft = np.where(generator.uniform(size=corrected.shape) < 0.2, 1, corrected).astype(np.uint8)
    draft[2] = corrected[2]
    return corrected, draft


def iou_by_hand(corrected, draft, tissue):
    both = either = 0
    for true, found in zip(corrected.ravel(), draft.ravel(), strict=True):
        both += true == tissue and found == tissue
        either += tissue in (true, found)
    return both / either if either else np.nan


def test_session_corrections_equal_a_plain_loop(pair):
    corrected, draft = pair
    by_class, by_slice = session_corrections(corrected, draft, LABELS, **IDENTITY)
    assert by_class["class_name"].tolist() == LABELS.names
    assert by_class["iou"].tolist() == pytest.approx([iou_by_hand(*pair, c) for c in range(4)], nan_ok=True)
    assert by_class["changed_share"].tolist() == pytest.approx([(corrected != draft).mean()] * 4)
    assert by_slice["slice"].tolist() == [0, 1, 2, 3]
    assert by_slice["changed_share"].tolist() == pytest.approx((corrected != draft).mean(axis=(1, 2)))
    of_slices = [
        np.mean([iou_by_hand(true, found, c) for c in (1, 2)]) for true, found in zip(corrected, draft, strict=True)
    ]
    assert by_slice["mean_iou"].tolist() == pytest.approx(of_slices)
    for table in (by_class, by_slice):
        assert {name: set(table[name]) for name in IDENTITY} == {name: {value} for name, value in IDENTITY.items()}


def test_session_corrections_of_a_class_left_out_have_no_iou(pair):
    corrected, draft = pair
    draft[draft == 2] = 0
    by_class, by_slice = session_corrections(corrected, draft, LABELS, ["Epi-Fat"], **IDENTITY)
    assert np.isnan(by_class["iou"][2])
    expected = [iou_by_hand(true, found, 1) for true, found in zip(corrected, draft, strict=True)]
    assert by_slice["mean_iou"].tolist() == pytest.approx(expected)
    assert mean_corrections(by_class, 0)["mean_iou"].tolist() == pytest.approx([iou_by_hand(*pair, 1)])


def test_session_corrections_of_an_unchanged_draft_are_exactly_none(pair):
    by_class, by_slice = session_corrections(pair[0], pair[0].copy(), LABELS, **IDENTITY)
    assert (by_class["changed_share"] == 0).all()
    assert (by_slice["changed_share"] == 0).all()
    assert by_class["iou"].tolist()[:3] == [1, 1, 1]
