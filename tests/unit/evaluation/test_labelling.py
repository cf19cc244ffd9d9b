"""MAP and TH labelling and the tuning of thresholds, against plain loops and the paper's own sentence."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lumbarseg.evaluation.labelling import (
    THRESHOLDS,
    bins_of,
    curves_of_study,
    describe_tuning,
    label_by_threshold,
    maximum_a_posteriori,
    score_histogram,
    threshold_curves,
    thresholds_by_model,
    tune_thresholds,
)

# Multiples of 0.05 and their float32 neighbours, so that scores lie on thresholds, just below and just above them.
ON_THRESHOLDS = [float(np.float32(t)) for t in np.arange(21) / 20]
NEAR_THRESHOLDS = [float(np.nextafter(np.float32(t), np.float32(side))) for t in ON_THRESHOLDS for side in (-1, 2)]
SCORE = st.one_of(
    st.sampled_from(ON_THRESHOLDS),
    st.sampled_from([t for t in NEAR_THRESHOLDS if 0 <= t <= 1]),
    st.floats(0, 1, width=32),
)


@st.composite
def scored_pixels(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64], int]:
    pixels, classes = draw(st.integers(1, 8)), draw(st.integers(2, 6))
    scores = draw(hnp.arrays(np.float32, (pixels, classes), elements=SCORE))
    truth = draw(hnp.arrays(np.uint8, (pixels,), elements=st.integers(0, classes - 1)))
    thresholds = draw(hnp.arrays(np.float64, (classes,), elements=st.sampled_from(list(THRESHOLDS))))
    return scores, truth, thresholds, draw(st.integers(0, classes - 1))


def as_the_paper_says(scores: NDArray[np.float32], thresholds: NDArray[np.float64], background: int) -> int:
    """Section 4.3.2: "Classes are checked in descending order according to its score …" for one pixel."""
    descending = sorted(range(len(scores)), key=lambda tissue: (-scores[tissue], tissue))
    for tissue in descending:
        if scores[tissue] >= np.float32(thresholds[tissue]):
            return tissue
    return background


def test_thresholds_are_the_papers_nineteen() -> None:
    assert [f"{t:.2f}" for t in THRESHOLDS] == [f"0.{hundredths:02d}" for hundredths in range(5, 100, 5)]
    assert all(float(f"{t:.2f}") == t for t in THRESHOLDS)  # they survive being written as JSON


@given(scored_pixels())
def test_label_by_threshold_takes_the_first_class_in_descending_order_of_score_that_passes(case: tuple) -> None:
    scores, _, thresholds, background = case
    expected = [as_the_paper_says(pixel, thresholds, background) for pixel in scores]
    assert label_by_threshold(scores, thresholds, background).tolist() == expected


@given(scored_pixels())
def test_maximum_a_posteriori_takes_the_highest_score_and_of_equal_ones_the_lower_id(case: tuple) -> None:
    scores = case[0]
    expected = [min(range(len(pixel)), key=lambda tissue: (-pixel[tissue], tissue)) for pixel in scores]
    assert maximum_a_posteriori(scores).tolist() == expected


@given(scored_pixels())
def test_label_by_threshold_with_the_lowest_thresholds_equals_map_where_a_score_reaches_one(case: tuple) -> None:
    scores, _, _, background = case
    lowest = np.full(scores.shape[1], THRESHOLDS[0])
    reached = (scores >= np.float32(0.05)).any(axis=1)
    labels = label_by_threshold(scores, lowest, background)
    assert (labels[reached] == maximum_a_posteriori(scores)[reached]).all()
    assert (labels[~reached] == background).all()


def test_label_by_threshold_takes_the_second_best_class_if_the_best_is_below_its_threshold() -> None:
    scores = np.array([[0.1, 0.5, 0.4]], np.float32)
    assert label_by_threshold(scores, [0.5, 0.55, 0.4], background=0).tolist() == [2]
    assert label_by_threshold(scores, [0.5, 0.55, 0.45], background=0).tolist() == [0]


def test_label_by_threshold_allows_any_background_id() -> None:
    assert label_by_threshold(np.array([[0.5, 0.5]], np.float32), [0.95, 0.95], background=1).tolist() == [1]


def test_labelling_keeps_the_shape_of_the_pixels_and_returns_uint8() -> None:
    scores = np.random.default_rng(1).dirichlet(np.ones(4), (2, 3, 5)).astype(np.float32)
    for labels in (maximum_a_posteriori(scores), label_by_threshold(scores, [0.5] * 4, 0)):
        assert labels.shape == (2, 3, 5)
        assert labels.dtype == np.uint8


def test_label_by_threshold_rejects_a_wrong_number_of_thresholds() -> None:
    with pytest.raises(ValueError, match="3 classes"):
        label_by_threshold(np.zeros((2, 3), np.float32), [0.5], background=0)


@given(scored_pixels())
def test_score_histogram_counts_the_thresholds_each_score_reaches(case: tuple) -> None:
    scores, truth, _, _ = case
    expected = np.zeros((scores.shape[1], 2, 20), np.int64)
    for pixel, label in zip(scores, truth, strict=True):
        for tissue, score in enumerate(pixel):
            reached = sum(bool(score >= np.float32(t)) for t in THRESHOLDS)
            expected[tissue, 0 if label == tissue else 1, reached] += 1
    histogram = score_histogram(scores, truth)
    assert histogram.dtype == np.int64
    assert (histogram == expected).all()


# Every float32 at which a count of reached thresholds changes, its neighbours, and the ends.
EDGES = np.concatenate([np.nextafter(THRESHOLDS.astype(np.float32), np.float32(way)) for way in (0, 1)])
EDGES = np.concatenate(
    [EDGES, THRESHOLDS.astype(np.float32), np.array([0, 1e-30, 1, np.nextafter(np.float32(1), 0)], "f4")]
)


def test_bins_of_equals_searchsorted_at_and_next_to_every_threshold() -> None:
    limits = THRESHOLDS.astype(np.float32)
    scores = np.concatenate([EDGES, np.random.default_rng(0).random(100_000, np.float32)])
    assert np.array_equal(bins_of(scores), np.searchsorted(limits, scores, side="right"))
    assert bins_of(EDGES).tolist() == [sum(score >= limit for limit in limits) for score in EDGES]


@given(scored_pixels())
def test_score_histogram_of_parts_adds_up_to_that_of_the_whole(case: tuple) -> None:
    scores, truth, _, _ = case
    added = np.zeros((scores.shape[1], 2, 20), np.int64)
    for start in range(0, len(scores), 3):
        given_back = score_histogram(scores[start : start + 3], truth[start : start + 3], out=added)
        assert given_back is added
    assert (added == score_histogram(scores, truth)).all()


@given(scored_pixels())
def test_threshold_curves_are_the_iou_of_one_class_against_the_rest(case: tuple) -> None:
    scores, truth, _, _ = case
    curves = threshold_curves(score_histogram(scores, truth))
    for tissue in range(scores.shape[1]):
        for place, threshold in enumerate(THRESHOLDS):
            predicted = {i for i, score in enumerate(scores[:, tissue]) if score >= np.float32(threshold)}
            true = {i for i, label in enumerate(truth) if label == tissue}
            expected = len(predicted & true) / len(predicted | true) if predicted | true else np.nan
            assert curves[tissue, place] == pytest.approx(expected, abs=0, nan_ok=True)


@given(scored_pixels())
def test_tune_thresholds_takes_the_highest_iou_and_of_equal_ones_the_nearest_to_a_half(case: tuple) -> None:
    histogram = score_histogram(case[0], case[1])
    tuned = tune_thresholds(histogram)
    for tissue, curve in enumerate(np.nan_to_num(threshold_curves(histogram))):
        best = [place for place in range(19) if curve[place] == max(curve)]
        nearest = min(best, key=lambda place: (abs(place - 9), place))
        assert tuned[tissue] == THRESHOLDS[nearest]


def test_tune_thresholds_takes_the_lower_of_two_equally_far_from_a_half() -> None:
    histogram = np.zeros((1, 2, 20), np.int64)
    histogram[0, 0, [9, 11]] = 1  # two pixels of the class: one reaches 0.45 and no more, one reaches 0.55
    histogram[0, 1, [9, 10]] = 1  # two others: one reaches 0.45 and no more, one reaches 0.50
    assert threshold_curves(histogram)[0, [8, 9, 10]].tolist() == [2 / 4, 1 / 3, 1 / 2]
    assert tune_thresholds(histogram)[0] == 0.45


def test_tune_thresholds_gives_a_half_to_a_class_absent_from_the_truth() -> None:
    scores = np.array([[0.9, 0.1], [0.3, 0.7]], np.float32)
    assert tune_thresholds(score_histogram(scores, np.zeros(2, np.uint8)))[1] == 0.5


def test_describe_tuning_holds_thresholds_and_curves_that_json_keeps() -> None:
    scores = np.array([[0.9, 0.1, 0], [0.3, 0.7, 0], [0.6, 0.4, 0]], np.float32)
    histogram = score_histogram(scores, np.array([0, 1, 0], np.uint8))
    content = describe_tuning(histogram, model="UMD", fold=2, class_names=["Bg", "Vert", "Disc"])
    assert json.loads(json.dumps(content)) == content
    assert (content["model"], content["fold"], content["values"][2]) == ("UMD", 2, 0.15)
    assert content["thresholds"] == {"Bg": 0.5, "Vert": 0.5, "Disc": 0.5}
    assert content["iou"]["Bg"][9] == content["iou"]["Vert"][9] == 1
    assert content["iou"]["Disc"] == [None] * 19
    thresholds = thresholds_by_model([content], ["Bg", "Vert", "Disc"])["UMD"]
    assert thresholds.dtype == np.float32
    assert thresholds.tolist() == [0.5, 0.5, 0.5]


def test_curves_of_study_has_a_row_for_each_model_fold_class_and_threshold() -> None:
    tuned = [
        {
            "model": model, "fold": fold, "thresholds": {"Bg": 0.1, "Disc": 0.05}, "values": [0.05, 0.1],
            "iou": {"Bg": [0.2, 0.3], "Disc": [None, None]},
        }
        for model in ("UMD", "E2+Geo")
        for fold in (1, 2)
    ]  # fmt: skip
    table = curves_of_study(tuned)
    assert len(table) == 2 * 2 * 2 * 2
    rows = table[(table["model"] == "E2+Geo") & (table["fold"] == 2)].drop(columns=["model", "fold"])
    assert [tuple(row) for row in rows[rows["class_id"] == 0].to_numpy()] == [
        (0, "Bg", 0.05, 0.2, False), (0, "Bg", 0.1, 0.3, True),
    ]  # fmt: skip
    assert rows[rows["class_id"] == 1]["iou"].isna().all()
    assert rows[rows["class_id"] == 1]["chosen"].tolist() == [True, False]
