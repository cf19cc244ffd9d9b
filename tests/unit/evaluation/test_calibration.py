"""Calibration: sums against plain loops, and the measures against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from lumbarseg.evaluation.calibration import (
    calibration_errors,
    calibration_of_study,
    calibration_rows,
    calibration_sums,
)
from lumbarseg.evaluation.labelling import THRESHOLDS

CLASSES = 4
NAMES = ["Background", "Vert", "NA", "Disc"]


def drawn(seed, sharpness, pixels=300):
    """Scores and a truth that follows them, of which some is wrong."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(pixels, CLASSES))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([generator.choice(CLASSES, p=one) for one in scores]).astype(np.uint8)
    return scores.astype(np.float32), truth


def table(*parts):
    rows = [calibration_rows(calibration_sums(*part), model="UMD", fold=1 + k) for k, part in enumerate(parts)]
    return calibration_of_study(pd.concat(rows, ignore_index=True), NAMES)


cases = st.builds(drawn, seed=st.integers(0, 99), sharpness=st.sampled_from([0.1, 1, 4, 9]))


@settings(max_examples=25, deadline=None)
@given(cases)
def test_calibration_sums_equal_a_plain_loop(case):
    scores, truth = case
    expected = np.zeros((CLASSES, 20, 4))
    for pixel, label in zip(scores, truth, strict=True):
        for tissue, score in enumerate(pixel):
            place = sum(score >= np.float32(limit) for limit in THRESHOLDS)
            hit = float(label == tissue)
            expected[tissue, place] += (1, hit, score, (score - hit) ** 2)
    assert calibration_sums(scores, truth) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_calibration_sums_of_slices_add_up():
    scores, truth = drawn(0, 3)
    parts = calibration_sums(scores[:100], truth[:100]) + calibration_sums(scores[100:], truth[100:])
    assert parts == pytest.approx(calibration_sums(scores, truth), rel=1e-5, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(cases)
def test_calibration_of_study_and_errors_equal_scikit_learn(case):
    scores, truth = case
    points = table(case)
    errors = calibration_errors(points).set_index("class_id")
    for tissue in range(CLASSES):
        of_class = points[(points["class_id"] == tissue) & (points["pixels"] > 0)]
        shares, means = calibration_curve(truth == tissue, scores[:, tissue], n_bins=20)
        assert of_class["mean_score"].to_numpy() == pytest.approx(means, abs=1e-4)
        assert of_class["true_share"].to_numpy() == pytest.approx(shares, abs=1e-6)
        expected = brier_score_loss(truth == tissue, scores[:, tissue])
        assert errors.loc[tissue, "brier_score"] == pytest.approx(expected, abs=1e-5)
        weights = of_class["pixels"] / len(truth)
        assert errors.loc[tissue, "expected_calibration_error"] == pytest.approx(
            (weights * np.abs(shares - means)).sum(), abs=1e-5
        )


def test_calibration_errors_are_small_for_probabilities_and_large_for_overconfident_scores():
    honest, truth = drawn(3, 1.5, 20000)
    sure = honest**4 / (honest**4).sum(axis=1, keepdims=True)
    errors = [
        calibration_errors(table((scores, truth)))["expected_calibration_error"].max() for scores in (honest, sure)
    ]
    assert errors[0] < 0.02
    assert errors[1] > 0.1


def test_calibration_of_study_has_no_share_in_empty_bins_and_separates_folds():
    points = table(drawn(0, 9), drawn(1, 9))
    empty = points[points["pixels"] == 0]
    assert len(empty)
    assert empty[["mean_score", "true_share"]].isna().all().all()
    assert set(points["class_name"]) == set(NAMES)
    assert len(calibration_errors(points)) == 2 * CLASSES
