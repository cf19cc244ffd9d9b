"""Whom to draw next: uncertainty, novelty, and the order of both."""

import numpy as np
import pytest

from lumbarseg.evaluation.drawing_order import drawing_order, standardised

NONE = np.zeros((0, 1))
LINE = np.array([[0.0], [1.0], [5.0], [10.0]])


def places(*arguments):
    return [choice.place for choice in drawing_order(*arguments)]


def by_hand(uncertainty, candidates, drawn, weight):
    """The order from plain loops."""
    everyone = [*candidates, *drawn]
    largest = max(np.linalg.norm(a - b) for a in everyone for b in everyone)
    low, high = min(uncertainty), max(uncertainty)
    reference, left, found = list(drawn), list(range(len(candidates))), []
    while left:
        best, best_score = -1, -np.inf
        for c in left:
            score = (uncertainty[c] - low) / (high - low)
            if reference:
                nearest = min(np.linalg.norm(candidates[c] - one) for one in reference)
                score = (1 - weight) * score + weight * nearest / largest
            if score > best_score:
                best, best_score = c, score
        left.remove(best)
        reference.append(candidates[best])
        found.append((best, best_score))
    return found


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("drawn", [0, 1, 4])
def test_drawing_order_equals_plain_loops(weight, drawn):
    generator = np.random.default_rng(drawn)
    uncertainty, values = generator.uniform(0.1, 1.2, 9), generator.normal(size=(9 + drawn, 5))
    found = drawing_order(uncertainty, values[:9], values[9:], weight)
    expected = by_hand(uncertainty, values[:9], values[9:], weight)
    assert [choice.place for choice in found] == [place for place, _ in expected]
    assert [choice.score for choice in found] == pytest.approx([score for _, score in expected])


def test_drawing_order_without_novelty_is_that_of_uncertainty():
    assert places([0.2, 0.9, 0.1, 0.5], LINE, NONE, 0.0) == [1, 3, 0, 2]


def test_drawing_order_by_novelty_takes_the_farthest_from_all_drawn_and_chosen():
    assert places([0.5] * 4, LINE, np.array([[0.0]]), 1.0) == [3, 2, 1, 0]


def test_drawing_order_begins_with_the_most_uncertain_if_nothing_is_drawn():
    found = drawing_order([0.1, 0.2, 0.9, 0.3], LINE, NONE, 1.0)
    assert [choice.place for choice in found] == [2, 0, 3, 1]
    assert np.isnan(found[0].novelty)
    assert [choice.novelty for choice in found[1:]] == pytest.approx([0.5, 0.5, 0.1])


def test_drawing_order_counts_an_empty_draft_as_the_most_uncertain():
    assert places([0.2, np.nan, 0.1, 0.5], LINE, NONE, 0.0) == [1, 3, 0, 2]


def test_drawing_order_of_equal_sessions_is_that_of_the_sheet():
    assert places([0.3] * 4, np.zeros((4, 2)), np.zeros((1, 2)), 0.5) == [0, 1, 2, 3]
    assert places([], np.zeros((0, 0)), np.zeros((3, 0)), 0.5) == []


def test_standardised_scales_values_and_takes_the_mean_for_missing_ones():
    profiles = [{"a": 1.0, "b": 7.0, "c": 2.0}, {"a": 3.0, "b": 7.0}, {"a": 5.0, "b": 7.0, "c": 4.0}]
    scaled = standardised(profiles)
    assert scaled[:, 0] == pytest.approx(np.array([-1, 0, 1]) * np.sqrt(1.5))
    assert scaled[:, 1] == pytest.approx([-1, 0, 1])
    assert scaled.shape == (3, 2)  # b does not vary
    assert standardised([]).shape == (0, 0)
