"""Selection of the model for a bundle by validation IoU."""

import pandas as pd
import pytest

from factories.bundle import MEAN, NAMES, NETWORK, STACKED, tuned
from lumbarseg.evaluation.model_selection import select_model, validation_iou


def validation(**means):
    rows = [
        (name.replace("_", "+"), fold, value) for name, values in means.items() for fold, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows, columns=["model", "fold", "iou"])


def test_validation_iou_is_the_mean_over_present_classes_at_their_thresholds():
    one = tuned("UD", fold=2)
    one["thresholds"] = {"Background": 0.5, "Int-Disc": 0.05, "Spinal-Cavity": 0.95}
    one["iou"]["Int-Disc"] = [0.6] + [0.1] * 18
    one["iou"]["Spinal-Cavity"] = [0.1] * 18 + [0.8]
    frame = validation_iou([one], NAMES[1:])
    assert frame.to_dict("records") == [{"model": "UD", "fold": 2, "iou": pytest.approx(0.7)}]
    one["iou"]["Spinal-Cavity"] = [None] * 19
    assert validation_iou([one], NAMES[1:])["iou"].tolist() == [pytest.approx(0.6)]


def test_select_model_takes_the_highest_mean_and_its_best_fold():
    found = select_model(
        validation(UD=[0.9, 0.1], E2_Geo=[0.5, 0.6], E2_TCD=[0.6, 0.6]), [NETWORK, MEAN, STACKED], "best", ["MAP", "TH"]
    )
    assert found == ("E2+TCD+TH", 1)


def test_select_model_prefers_the_smaller_of_equal_models():
    assert select_model(validation(E2_Geo=[0.5, 0.6], UD=[0.6, 0.5]), [NETWORK, MEAN], "best", ["MAP"]) == ("UD+MAP", 1)


def test_select_model_takes_a_named_experiment():
    assert select_model(validation(UD=[0.9, 0.9], E2_Geo=[0.1, 0.2]), [NETWORK, MEAN], "E2+Geo+MAP", ["MAP", "TH"]) == (
        "E2+Geo+MAP",
        2,
    )
