"""Counts and IoU, against scikit-learn and plain loops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score, precision_score, recall_score

from lumbarseg.evaluation.confusion import confusion_rows, confusion_shares
from lumbarseg.evaluation.metrics import (
    MEASURES,
    confusion_per_slice,
    counts_per_slice,
    fold_iou,
    iou,
    mean_iou,
    over_folds,
    patient_iou,
    read_rows,
    slice_counts,
    slice_iou,
    worst_cases,
)
from lumbarseg.labels import LabelTable

CLASSES = 4
TABLE = LabelTable([{"id": i, "name": f"tissue {i}", "colour": "#123456"} for i in range(CLASSES)])


@st.composite
def label_maps(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)))
    maps = [draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1))) for _ in range(2)]
    return maps[0], maps[1]


def made_up_counts(experiments: tuple[str, ...] = ("UMD+TH", "E4+Arith+MAP")) -> pd.DataFrame:
    generator = np.random.default_rng(5)
    parts = []
    for experiment in experiments:
        for fold in (1, 2, 3):
            for patient in ("p1", "p2"):
                truth, predicted = generator.integers(0, CLASSES, (2, 3, 8, 8)).astype(np.uint8)
                parts.append(
                    slice_counts(
                        truth,
                        predicted,
                        CLASSES,
                        experiment=experiment,
                        fold=fold,
                        participant_id=patient,
                        session_id="s",
                    )
                )
    return pd.concat(parts, ignore_index=True)


@settings(max_examples=25)
@given(label_maps())
def test_counts_per_slice_equal_scikit_learns_confusion_matrix(maps: tuple) -> None:
    truth, predicted = maps
    true, found, common = counts_per_slice(truth, predicted, CLASSES)
    for place in range(len(truth)):
        confusion = confusion_matrix(truth[place].ravel(), predicted[place].ravel(), labels=range(CLASSES))
        assert true[place].tolist() == confusion.sum(axis=1).tolist()
        assert found[place].tolist() == confusion.sum(axis=0).tolist()
        assert common[place].tolist() == np.diag(confusion).tolist()
    assert {part.dtype for part in (true, found, common)} == {np.dtype(np.int64)}


def test_iou_is_0_for_a_class_absent_from_one_and_nan_for_one_absent_from_both() -> None:
    values = iou([5, 0, 0, 4], [0, 5, 0, 4], [0, 0, 0, 4])
    assert values[:2].tolist() == [0, 0]
    assert np.isnan(values[2])
    assert values[3] == 1


def test_counts_per_slice_do_not_overflow_with_255_classes() -> None:
    truth = np.full((1, 2, 2), 254, np.uint8)
    true, found, common = counts_per_slice(truth, truth, 255)
    assert true[0, 254] == found[0, 254] == common[0, 254] == 4
    assert true.sum() == found.sum() == common.sum() == 4


def test_counts_per_slice_rejects_an_id_that_is_no_class() -> None:
    truth = np.zeros((1, 2, 2), np.uint8)
    with pytest.raises(ValueError, match="below 4, found 5"):
        counts_per_slice(truth, truth + np.uint8(5), CLASSES)


def test_counts_per_slice_rejects_a_prediction_of_another_shape() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        counts_per_slice(np.zeros((1, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), CLASSES)


def test_slice_counts_has_a_row_for_each_slice_and_class() -> None:
    truth = np.array([[[0, 1]], [[2, 2]]], np.uint8)
    rows = slice_counts(truth, truth, 3, experiment="UMD+TH", fold=2, participant_id="p1", session_id="s1")
    assert rows["true_pixels"].tolist() == [1, 1, 0, 0, 0, 2]
    assert rows["slice"].tolist() == [0, 0, 0, 1, 1, 1]
    assert rows["class_id"].tolist() == [0, 1, 2, 0, 1, 2]
    assert set(rows["fold"]) == {2}


def test_slice_iou_has_the_columns_of_the_contract() -> None:
    table = slice_iou(made_up_counts())
    assert list(table.columns) == (
        [
            "experiment",
            "fold",
            "participant_id",
            "session_id",
            "slice",
            "class_id",
            "true_pixels",
            "predicted_pixels",
            "common_pixels",
            "iou",
        ]
    )
    row = table.iloc[7]
    union = row["true_pixels"] + row["predicted_pixels"] - row["common_pixels"]
    assert row["iou"] == row["common_pixels"] / union


def test_fold_iou_is_that_of_pooled_pixels_not_a_mean_over_slices() -> None:
    counts = made_up_counts()
    table = fold_iou(counts, TABLE)
    assert list(table.columns) == (
        ["experiment", "fold", "class_id", "class_name", "true_pixels", "predicted_pixels", "common_pixels", *MEASURES]
    )
    assert list(dict.fromkeys(table["experiment"])) == ["UMD+TH", "E4+Arith+MAP"]
    for row in table.itertuples():
        true = predicted = common = 0
        for line in counts.itertuples():
            if (line.experiment, line.fold, line.class_id) == (row.experiment, row.fold, row.class_id):
                true += line.true_pixels
                predicted += line.predicted_pixels
                common += line.common_pixels
        assert (row.true_pixels, row.predicted_pixels, row.common_pixels) == (true, predicted, common)
        assert row.iou == common / (true + predicted - common)
        assert row.class_name == f"tissue {row.class_id}"


def test_mean_iou_leaves_out_the_background_and_absent_classes() -> None:
    table = pd.DataFrame(
        {"experiment": "U1+TH", "fold": [1] * 4, "class_id": [0, 1, 2, 3], "iou": [0.9, 0.5, np.nan, 0.7]}
    )
    means = mean_iou(table, background=0).iloc[0]
    assert means["without_background"] == pytest.approx(0.6)
    assert means["with_background"] == pytest.approx(0.7)
    assert means["absent_classes"] == 1
    assert mean_iou(table, background=1).iloc[0]["without_background"] == pytest.approx(0.8)


def test_over_folds_gives_mean_and_standard_deviation_of_three_numbers() -> None:
    averages = mean_iou(fold_iou(made_up_counts(), TABLE), background=0)
    table = over_folds(averages, ["experiment"], "without_background").set_index("experiment")
    for experiment, rows in averages.groupby("experiment"):
        values = rows["without_background"].tolist()
        mean = sum(values) / 3
        assert table.loc[experiment, "mean"] == pytest.approx(mean)
        assert table.loc[experiment, "sd"] == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
        assert table.loc[experiment, "folds"] == 3


@pytest.mark.parametrize(
    ("name", "scikit_learns"),
    [("dice", f1_score), ("precision", precision_score), ("recall", recall_score), ("iou", jaccard_score)],
)
@settings(max_examples=25)
@given(maps=label_maps())
def test_measures_equal_scikit_learn_with_0_where_the_class_is_in_one_of_the_two(
    name: str, scikit_learns: Callable[..., float], maps: tuple
) -> None:
    truth, predicted = maps
    values = MEASURES[name](*counts_per_slice(truth, predicted, CLASSES))
    for true, found, of_slice in zip(truth, predicted, values, strict=True):
        expected = scikit_learns(true.ravel(), found.ravel(), labels=range(CLASSES), average=None, zero_division=0)
        expected[~np.isin(range(CLASSES), [true, found])] = np.nan
        assert of_slice == pytest.approx(expected, nan_ok=True)


def hard_masks() -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Runs of all lengths: one class, one pixel of another, borders, and noise in which no two neighbours are alike."""
    one = np.zeros((1, 64, 64), np.uint8)
    pixel, border = one.copy(), one.copy()
    pixel[0, 31, 17] = 3
    border[0, [0, -1]] = 1
    border[0, :, [0, -1]] = 2
    noise = np.random.default_rng(2).integers(0, CLASSES, (1, 64, 64)).astype(np.uint8)
    return [(one, one), (one, pixel), (pixel, one), (border, pixel), (noise, border), (border, noise), (noise, noise)]


@pytest.mark.parametrize("maps", hard_masks())
def test_confusion_per_slice_equals_scikit_learn_for_smooth_maps_and_for_noise(maps: tuple) -> None:
    truth, predicted = maps
    expected = confusion_matrix(truth.ravel(), predicted.ravel(), labels=range(CLASSES))
    assert confusion_per_slice(truth, predicted, CLASSES)[0].tolist() == expected.tolist()


def test_confusion_shares_sum_to_one_over_all_folds_and_are_nan_for_an_absent_class() -> None:
    first, second = np.array([[6, 2], [0, 0]]), np.array([[1, 1], [0, 0]])
    rows = pd.concat(
        [confusion_rows(first, "U1+TH", 1), confusion_rows(second, "U1+TH", 2), confusion_rows(second, "X", 1)]
    )
    shares = confusion_shares(rows, "U1+TH", 2)
    assert shares[0].tolist() == [0.7, 0.3]
    assert np.isnan(shares[1]).all()


def test_patient_iou_comes_from_the_counts_of_all_slices() -> None:
    counts = made_up_counts()
    table = patient_iou(counts, TABLE)
    chosen = {"experiment": "UMD+TH", "fold": 2, "participant_id": "p2", "class_id": 3}
    lines = [line for line in counts.to_dict("records") if {key: line[key] for key in chosen} == chosen]
    true, predicted, common = (
        sum(line[f"{kind}_pixels"] for line in lines) for kind in ("true", "predicted", "common")
    )
    row = table[(table[list(chosen)] == pd.Series(chosen)).all(axis=1)].iloc[0]
    assert len(table) == 2 * 3 * 2 * CLASSES
    assert row["class_name"] == "tissue 3"
    assert row["dice"] == pytest.approx(2 * common / (true + predicted))


def test_read_rows_returns_what_was_written_with_ids_as_texts(tmp_path: Path) -> None:
    parts = made_up_counts(("UMD+TH",)), made_up_counts(("E4+Arith+MAP", "UMD+TH"))
    paths = [tmp_path / f"fold-{k}.csv.gz" for k in (1, 2)]
    for part, path in zip(parts, paths, strict=True):
        named = part.assign(participant_id=part["participant_id"].map({"p1": "007", "p2": "NA"}), session_id="01")
        named.to_csv(path, index=False)
    table = read_rows(paths)
    assert list(table["experiment"].cat.categories) == ["UMD+TH", "E4+Arith+MAP"]
    assert table["participant_id"].unique().tolist() == ["007", "NA"]
    assert table["session_id"].unique().tolist() == ["01"]
    together = pd.concat(parts, ignore_index=True)
    assert table["experiment"].astype(str).tolist() == together["experiment"].tolist()
    assert table["common_pixels"].tolist() == together["common_pixels"].tolist()
    pd.testing.assert_frame_equal(fold_iou(table, TABLE), fold_iou(together, TABLE))


def test_worst_cases_are_of_different_patients_and_name_their_worst_class() -> None:
    per_slice = slice_iou(made_up_counts())
    table = worst_cases(per_slice, TABLE, most=2)
    assert table["experiment"].tolist() == ["UMD+TH"] * 2 + ["E4+Arith+MAP"] * 2
    targets = per_slice[per_slice["class_id"] != 0]
    for experiment, rows in table.groupby("experiment"):
        assert rows["participant_id"].nunique() == 2
        means = targets[targets["experiment"] == experiment].groupby(["fold", "participant_id", "slice"])["iou"].mean()
        assert rows["mean_iou"].iloc[0] == pytest.approx(means.min())
        assert rows["mean_iou"].is_monotonic_increasing
        first = rows.iloc[0]
        where = (
            targets[["experiment", "fold", "participant_id", "slice"]]
            == first[["experiment", "fold", "participant_id", "slice"]]
        ).all(axis=1)
        lowest = targets[where].sort_values("iou").iloc[0]
        assert (first["worst_class"], first["worst_iou"]) == (f"tissue {lowest['class_id']}", lowest["iou"])
