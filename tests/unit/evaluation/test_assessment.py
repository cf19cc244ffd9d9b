"""The assessment of masks in files, against what goes into it."""

import nibabel as nib
import numpy as np
import pandas as pd

from lumbarseg.evaluation.assessment import MaskPair, assess_experiment
from lumbarseg.geometry import from_sagittal_view, volume
from lumbarseg.labels import LabelTable

LABELS = LabelTable([{"id": c, "name": f"tissue {c}", "colour": "#123456"} for c in range(3)])
# Slices along the first axis, rows 0.5 mm and columns 0.7 mm apart.
AFFINE = np.array([[0, 0, 4.4, 0], [0.7, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0, 1.0]])


def test_assess_experiment_measures_distances_and_confusion_of_all_sessions(tmp_path) -> None:
    truth = np.zeros((2, 8, 6), np.uint8)
    truth[0, 2, 2] = 1
    truth[1, 1:3, 1:3] = 2
    moved = np.roll(truth, 1, axis=1)
    pairs = []
    for session, predicted in (("01", moved), ("02", truth)):
        files = [tmp_path / f"{session}_{kind}.nii.gz" for kind in ("truth", "predicted")]
        for path, labels in zip(files, (truth, predicted), strict=True):
            nib.save(volume(from_sagittal_view(labels, AFFINE), AFFINE, (1, 1)), path)
        pairs.append(MaskPair("p1", session, *files))
    distances, confusion = assess_experiment("UMD+TH", 2, pairs, LABELS)
    found = distances[distances["class_id"] == 1].set_index(["session_id", "slice"])["hausdorff_95_mm"]
    assert found["01", 0] == 0.5
    assert found["02", 0] == 0
    assert found.isna().sum() == 2
    assert set(distances["experiment"]) == {"UMD+TH"}
    pixels = confusion.set_index(["true_class_id", "predicted_class_id"])["pixels"]
    expected = np.zeros((3, 3), int)
    for predicted in (moved, truth):
        np.add.at(expected, (truth, predicted), 1)
    assert pixels.unstack().to_numpy().tolist() == expected.tolist()  # noqa: PD010
    assert pd.unique(confusion["fold"]).tolist() == [2]


def test_assess_experiment_counts_classes_that_masks_do_not_hold_as_background(tmp_path) -> None:
    truth, predicted = np.zeros((2, 1, 8, 6), np.uint8)
    truth[0, 2:4, 2:4] = predicted[0, 2:4, 2:4] = 1
    predicted[0, 5:, :] = predicted[0, 2, 2] = 2
    files = [tmp_path / f"{kind}.nii.gz" for kind in ("truth", "predicted")]
    for path, labels in zip(files, (truth, predicted), strict=True):
        nib.save(volume(from_sagittal_view(labels, AFFINE), AFFINE, (1, 1)), path)
    distances, confusion = assess_experiment("UMD+TH", 2, [MaskPair("p1", "01", *files)], LABELS, unlabelled=[2])
    assert distances[distances["class_id"] == 2]["hausdorff_95_mm"].isna().all()
    pixels = confusion.set_index(["true_class_id", "predicted_class_id"])["pixels"]
    assert pixels.unstack().to_numpy().tolist() == [[44, 0, 0], [1, 3, 0], [0, 0, 0]]  # noqa: PD010
