"""The manifest of a bundle, and its model card."""

from unittest import mock

import pytest

from factories.bundle import small_manifest
from lumbarseg.deployment.model_card import model_card
from lumbarseg.errors import InputError


def test_build_manifest_counts_patients_and_rejects_foreign_thresholds():
    manifest = small_manifest()
    assert manifest["patients"] == {"train": 2, "validation": 1, "test": 1}
    assert manifest["test_iou"] == {"Background": 0.9, "Int-Disc": 0.4, "Spinal-Cavity": None}
    assert manifest["epochs"]["UD"]["epoch"] == 2
    with pytest.raises(
        InputError, match=r"thresholds of E2\+Geo, fold 1: not those of E2\+Geo, fold 1, for the classes"
    ):
        small_manifest_of_other_thresholds()


def small_manifest_of_other_thresholds():
    with mock.patch("factories.bundle.NAMES", ["Background", "Int-Disc", "Else"]):
        return small_manifest()


def test_model_card_has_training_data_results_and_limitations():
    manifest = small_manifest(ranges={"pixel height (mm)": [0.5, 1.0]})
    card = model_card(manifest)
    for said in (
        "# E2+Geo+TH, study small", "Not a medical device", "Patients: 2 for training, 1 for the selection", "| pixel height (mm) | 0.5 | 1 |",
        "| Int-Disc | 0.35 | 80.0 | 40.0 |", "| Spinal-Cavity | 0.25 | 80.0 |  |", "IoU on test patients is below 50 % for Int-Disc.", "ITK",
    ):  # fmt: skip
        assert said in card
