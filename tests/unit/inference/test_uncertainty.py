"""Entropy and mutual information of scores, against plain loops and SciPy."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import entropy as entropy_of

from lumbarseg.inference.uncertainty import entropy, mutual_information

scores = arrays.arrays(np.float32, (3, 2, 5), elements=st.floats(0, 1, width=16)).map(
    lambda raw: (raw + 1e-3) / (raw + 1e-3).sum(axis=-1, keepdims=True)
)


def of(found):
    return keras.ops.convert_to_numpy(found)


@given(scores)
def test_entropy_equals_scipy(raw):
    assert of(entropy(raw)) == pytest.approx(entropy_of(raw, axis=-1), abs=1e-5)


@given(scores)
def test_mutual_information_is_the_mean_divergence_of_the_networks_from_their_mean(raw):
    """The mean Kullback–Leibler divergence, another way to write it."""
    mean = raw.mean(axis=0)
    expected = [np.mean([entropy_of(raw[r, i], mean[i]) for r in range(3)]) for i in range(2)]
    assert of(mutual_information(list(raw))) == pytest.approx(np.array(expected), abs=1e-5)


def test_entropy_is_0_for_one_class_and_the_logarithm_of_the_classes_for_equal_scores():
    assert of(entropy(np.array([[1, 0, 0, 0], [0.25] * 4], np.float32))) == pytest.approx([0, np.log(4)], abs=1e-6)


def test_mutual_information_is_0_for_agreement_and_greatest_for_sure_contradiction():
    sure, contrary = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    assert of(mutual_information([sure, sure])) == pytest.approx([0])
    assert of(mutual_information([sure])) == pytest.approx([0])
    assert of(mutual_information([sure, contrary])) == pytest.approx([np.log(2)], abs=1e-6)
