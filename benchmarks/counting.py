"""Compare `confusion_per_slice` with scikit-learn: `python benchmarks/counting.py`. 186 experiments, 396 slices of 512 × 512.

The truth is that of phantom patients; a prediction is the truth with moved borders and specks of other classes. The library
counts all slices; scikit-learn's `confusion_matrix` counts every hundredth slice, alternating in the same run.
"""

import time
from itertools import cycle, islice

import numpy as np
from measured import CLASSES, print_table
from scipy import ndimage
from sklearn.metrics import confusion_matrix

from lumbarseg.evaluation.metrics import confusion_per_slice
from lumbarseg.phantom.cohort import participant_ids
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.series import label_volume
from lumbarseg.phantom.spine import build_spine

EXPERIMENTS, SLICES, SIDE, EVERY = 186, 396, 512, 100


def truth_and_predictions(patients: int = 3, variants: int = 4) -> tuple[list, list]:
    """Make label maps of phantom patients, (12, 512, 512) uint8, and predictions of each."""
    truths, predictions = [], []
    for number in range(1, patients + 1):
        patient = draw_patient(number, participant_ids(number)[-1], 1, [SIDE], (12, 12))
        truth = np.ascontiguousarray(label_volume(patient, build_spine(patient.body)).transpose(2, 1, 0)[:, ::-1])
        truths.append(truth)
        predictions.append([_prediction(truth, np.random.default_rng(seed)) for seed in range(variants)])
    return truths, predictions


def _prediction(truth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    shift = ndimage.gaussian_filter(generator.normal(size=(2, *truth.shape)), (0, 0, 8, 8))
    shift *= 2.5 / shift.std()
    places = np.indices(truth.shape, dtype=np.float32)
    places[1:] += shift
    moved = ndimage.map_coordinates(truth, places, order=0, mode="nearest")
    specks = generator.random(truth.shape) < 0.002
    return np.where(specks, generator.integers(0, CLASSES, truth.shape), moved).astype(np.uint8)


if __name__ == "__main__":
    truths, predictions = truth_and_predictions()
    volumes = EXPERIMENTS * SLICES // len(truths[0])
    pairs = [(truth, predicted) for truth, of_truth in zip(truths, predictions, strict=True) for predicted in of_truth]
    ours = theirs = 0.0
    counted = compared = 0
    for number, (truth, predicted) in enumerate(islice(cycle(pairs), volumes)):
        started = time.perf_counter()
        confusion = confusion_per_slice(truth, predicted, CLASSES)
        ours += time.perf_counter() - started
        counted += len(truth)
        for place in range(len(truth)):
            if (number * len(truth) + place) % EVERY == 0:
                started = time.perf_counter()
                expected = confusion_matrix(truth[place].ravel(), predicted[place].ravel(), labels=np.arange(CLASSES))
                theirs += time.perf_counter() - started
                compared += 1
                assert (confusion[place] == expected).all()
    each, other = ours / counted, theirs / compared
    rows = [
        ("workflow", f"{counted:,}", 1000 * each, f"{ours:.0f} s"),
        ("scikit-learn", f"{compared:,}", 1000 * other, f"{other * counted:.0f} s (extrapolated)"),
    ]
    print_table(["", "slices", "ms per slice", f"{counted:,} slices"], rows)
    print(f"ratio {other / each:.1f}")
