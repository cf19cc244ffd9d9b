"""Classes that masks do not hold: in labels and scores they are background."""

import numpy as np
import pytest

from lumbarseg.evaluation.partial_labels import merge_labels, merge_scores, merging_matrix

SCORES = np.random.default_rng(1).dirichlet(np.ones(5), (3, 4)).astype(np.float32)
LABELS = np.arange(5, dtype=np.uint8)


def test_merge_labels_turns_unlabelled_classes_into_background() -> None:
    assert merge_labels(LABELS, [2, 4], 1).tolist() == [0, 1, 1, 3, 1]
    assert merge_labels(LABELS, [2, 4], 1).dtype == np.uint8


def test_merge_scores_adds_those_of_unlabelled_classes_to_the_background() -> None:
    merged = merge_scores(SCORES, [2, 4], 1)
    assert merged.dtype == np.float32
    np.testing.assert_array_equal(merged[..., [0, 3]], SCORES[..., [0, 3]])
    assert not merged[..., [2, 4]].any()
    np.testing.assert_allclose(merged.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(merged, SCORES @ merging_matrix(5, [2, 4], 1), rtol=1e-6)
    assert merged.max() <= 1


@pytest.mark.parametrize(("merge", "values"), [(merge_labels, LABELS), (merge_scores, SCORES)])
def test_merging_returns_what_it_is_given_where_masks_are_complete(merge, values) -> None:
    assert merge(values, (), 0) is values
