"""Which experiment and fold go into a bundle, and what the model card says of them."""

from unittest import mock

import pandas as pd
import pytest

from factories.bundle import MEAN, NAMES, NETWORK, STACKED, small_manifest, tuned
from lumbarseg.deployment.model_card import model_card
from lumbarseg.errors import InputError
from lumbarseg.evaluation.model_selection import select_model, validation_iou


def validation(**means):
    rows = [
        (name.replace("_", "+"), fold, value) for name, values in means.items() for fold, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows, columns=["model", "fold", "iou"])


def test_validation_iou_is_the_mean_over_classes_at_their_thresholds_and_leaves_out_what_is_absent():
    one = tuned("UD", fold=2)
    one["thresholds"] = {"Background": 0.5, "Int-Disc": 0.05, "Spinal-Cavity": 0.95}
    one["iou"]["Int-Disc"] = [0.6] + [0.1] * 18
    one["iou"]["Spinal-Cavity"] = [0.1] * 18 + [0.8]
    frame = validation_iou([one], NAMES[1:])
    assert frame.to_dict("records") == [{"model": "UD", "fold": 2, "iou": pytest.approx(0.7)}]
    one["iou"]["Spinal-Cavity"] = [None] * 19
    assert validation_iou([one], NAMES[1:])["iou"].tolist() == [pytest.approx(0.6)]


def test_the_best_model_has_the_highest_mean_over_folds_and_its_best_fold_is_taken():
    found = select_model(
        validation(UD=[0.9, 0.1], E2_Geo=[0.5, 0.6], E2_TCD=[0.6, 0.6]), [NETWORK, MEAN, STACKED], "best", ["MAP", "TH"]
    )
    assert found == ("E2+TCD+TH", 1)


def test_of_equals_the_smaller_model_is_taken_and_labelled_as_the_study_does():
    assert select_model(validation(E2_Geo=[0.5, 0.6], UD=[0.6, 0.5]), [NETWORK, MEAN], "best", ["MAP"]) == ("UD+MAP", 1)


def test_a_named_experiment_is_taken_however_it_did():
    assert select_model(validation(UD=[0.9, 0.9], E2_Geo=[0.1, 0.2]), [NETWORK, MEAN], "E2+Geo+MAP", ["MAP", "TH"]) == (
        "E2+Geo+MAP",
        2,
    )


def test_the_manifest_tells_no_patient_and_refuses_thresholds_of_other_classes():
    manifest = small_manifest()
    assert manifest["patients"] == {"train": 2, "validation": 1, "test": 1}
    assert manifest["test_iou"] == {"Background": 0.9, "Int-Disc": 0.4, "Spinal-Cavity": None}
    assert manifest["epochs"]["UD"]["epoch"] == 2
    with pytest.raises(InputError, match="expected those of E2"):
        small_manifest_of_other_thresholds()


def small_manifest_of_other_thresholds():
    with mock.patch("factories.bundle.NAMES", ["Background", "Int-Disc", "Else"]):
        return small_manifest()


def test_the_card_says_what_it_is_on_whom_it_was_trained_how_well_it_does_and_what_it_is_not():
    manifest = small_manifest(ranges={"pixel, height (mm)": [0.5, 1.0]})
    card = model_card(manifest)
    for said in (
        "# E2+Geo+TH, study small", "Not a medical device", "Patients: 2 to train on, 1 to choose", "| pixel, height (mm) | 0.5 | 1 |",
        "| Int-Disc | 0.35 | 80.0 | 40.0 |", "| Spinal-Cavity | 0.25 | 80.0 |  |", "IoU below 50 %) for Int-Disc.", "ITK",
    ):  # fmt: skip
        assert said in card
