"""The Wilcoxon test per class, against signs counted one by one and formulas written out."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from factories.evaluation import one_class, rows, table_of
from lumbarseg.evaluation.metrics import slice_iou
from lumbarseg.evaluation.statistics import COLUMNS, draw_cohorts, holm, resampled_medians, wilcoxon


def of_slices(table: pd.DataFrame, experiment: str, class_id: int = 0) -> pd.Series:
    chosen = (table["unit"] == "slice") & (table["experiment"] == experiment) & (table["class_id"] == class_id)
    assert chosen.sum() == 1
    return table[chosen].iloc[0]


def exact_p(differences: list[float]) -> float:
    """Two-sided p from all 2ⁿ ways of giving signs to the ranks."""
    ranks = {size: place + 1 for place, size in enumerate(sorted(abs(d) for d in differences))}
    observed = sum(ranks[abs(d)] for d in differences if d > 0)
    middle = sum(ranks.values()) / 2
    sums = [sum(rank for rank, sign in zip(ranks.values(), signs, strict=True) if sign)
            for signs in itertools.product((0, 1), repeat=len(ranks))]  # fmt: skip
    return sum(abs(s - middle) >= abs(observed - middle) for s in sums) / len(sums)


def test_wilcoxon_p_of_few_pairs_is_the_share_of_sign_patterns_as_extreme() -> None:
    reference = [0.50, 0.52, 0.61, 0.44, 0.70, 0.38, 0.55, 0.47]
    other = [0.53, 0.57, 0.60, 0.51, 0.79, 0.36, 0.66, 0.60]
    found = of_slices(wilcoxon(table_of(one_class("R", reference), one_class("A", other)), "R"), "A")
    differences = [b - a for a, b in zip(reference, other, strict=True)]
    assert found["n"] == 8
    assert found["p_value"] == pytest.approx(exact_p(differences))
    assert found["median_difference"] == pytest.approx(np.median(differences))


def test_wilcoxon_p_of_many_pairs_is_that_of_the_normal_approximation() -> None:
    generator = np.random.default_rng(3)
    reference = generator.uniform(0.4, 0.6, 80).round(5)
    other = (reference + generator.normal(0.005, 0.02, 80)).round(5)
    found = of_slices(wilcoxon(table_of(one_class("R", reference.tolist()), one_class("A", other.tolist())), "R"), "A")
    differences = sorted(other - reference, key=abs)
    positive = sum(rank for rank, difference in enumerate(differences, start=1) if difference > 0)
    n = len(differences)
    z = (positive - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    assert found["p_value"] == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=0.02)


def test_wilcoxon_p_of_few_pairs_with_ties_equals_scipy() -> None:
    for differences in (
        [0.1, 0.1, -0.2, 0.3, 0.3, 0.05],
        [0.1, -0.1, 0.2, 0.25, -0.25, 0.3, 0.1, 0.15],
        [-0.1, -0.1, -0.1, -0.1, -0.1, -0.1, 0.1],
    ):
        values = [0.5 + difference for difference in differences]
        table = table_of(one_class("R", [0.5] * len(values)), one_class("A", values))
        as_computed = table[table["experiment"] == "A"]["iou"].to_numpy() - 0.5
        found = of_slices(wilcoxon(table, "R"), "A")
        assert found["p_value"] == pytest.approx(stats.wilcoxon(as_computed).pvalue)


def test_wilcoxon_leaves_out_pairs_without_iou_or_difference() -> None:
    reference = [0.5, None, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    other = [0.5, 0.9, None, 0.6, 0.7, 0.8, 0.65, 0.75, 0.55]
    found = of_slices(wilcoxon(table_of(one_class("R", reference), one_class("A", other)), "R"), "A")
    assert found["n"] == 6
    assert found["p_value"] == pytest.approx(2 / 2**6)
    assert found["median_difference"] == pytest.approx(np.median([0, 0.1, 0.2, 0.3, 0.15, 0.25, 0.05]))


def test_wilcoxon_counts_five_pairs_but_does_not_test_them() -> None:
    found = of_slices(wilcoxon(table_of(one_class("R", [0.5] * 5), one_class("A", [0.6] * 5)), "R"), "A")
    assert found["n"] == 5
    assert np.isnan(found["p_value"])
    assert np.isnan(found["p_holm"])


def test_wilcoxon_has_no_pairs_for_experiments_that_agree_everywhere() -> None:
    values = [0.1 * place for place in range(1, 9)]
    found = of_slices(wilcoxon(table_of(one_class("R", values), one_class("A", values)), "R"), "A")
    assert (found["n"], found["median_difference"]) == (0, 0)
    assert np.isnan(found["p_value"])


def test_wilcoxon_averages_a_slices_iou_over_folds_before_pairing() -> None:
    slices = range(7)
    reference = {(f"p{i}", 0, fold, 0): 0.5 for i in slices for fold in (1, 2, 3)}
    # Two folds say better, one says much worse: worse on average. With folds as pairs of their own it would be better.
    other = {(f"p{i}", 0, fold, 0): (0.2 - 0.01 * i if fold == 3 else 0.55) for i in slices for fold in (1, 2, 3)}
    found = of_slices(wilcoxon(table_of(rows("R", reference), rows("A", other)), "R"), "A")
    assert found["n"] == 7
    assert found["median_difference"] == pytest.approx((0.55 + 0.55 + 0.17) / 3 - 0.5)


def test_wilcoxon_does_not_depend_on_the_order_of_folds() -> None:
    some = np.random.default_rng(6).uniform(0.2, 0.9, 300).tolist()
    values = {(f"p{i}", 0, fold, 0): some.pop() for i in range(100) for fold in (1, 2, 3)}
    backwards = dict(reversed(values.items()))
    assert of_slices(wilcoxon(table_of(rows("R", values), rows("A", backwards)), "R"), "A")["n"] == 0


def test_wilcoxon_computes_a_patients_iou_from_the_counts_of_all_slices() -> None:
    parts = []
    for experiment, common in (("R", (10, 900)), ("A", (90, 800))):
        for patient in range(6):
            for place, size in enumerate((100, 1000)):
                parts.append(
                    {
                        "experiment": experiment, "fold": 1, "participant_id": f"p{patient}", "session_id": "s1",
                        "slice": place, "class_id": 0, "true_pixels": size, "predicted_pixels": common[place],
                        "common_pixels": common[place],
                    }
                )  # fmt: skip
    table = wilcoxon(slice_iou(pd.DataFrame(parts)), "R")
    patients = table[table["unit"] == "patient"].iloc[0]
    assert patients["n"] == 6
    assert patients["median_difference"] == pytest.approx(890 / 1100 - 910 / 1100)  # the mean of slices says better


def test_wilcoxon_tests_every_other_experiment_for_every_class_and_unit() -> None:
    generator = np.random.default_rng(7)
    keys = [(f"p{patient}", place, 1, class_id) for patient in range(7) for place in range(2) for class_id in range(3)]
    parts = [rows(name, dict(zip(keys, generator.uniform(0.2, 0.8, len(keys)), strict=True))) for name in "RAB"]
    table = wilcoxon(table_of(*parts), "R")
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * 3 * 2
    assert set(table["experiment"]) == {"A", "B"}
    for _, family in table.groupby("unit"):
        assert family["p_holm"].tolist() == pytest.approx(holm(family["p_value"].to_numpy()).tolist())
    assert set(table["n"][table["unit"] == "slice"]) == {14}
    assert set(table["n"][table["unit"] == "patient"]) == {7}


def test_holm_equals_an_example_worked_out_by_hand() -> None:
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    assert holm(p).tolist() == pytest.approx([0.03, 0.06, 0.06, np.nan, 0.02], nan_ok=True)


def test_holm_is_between_the_plain_p_and_one_and_keeps_the_order() -> None:
    p = np.random.default_rng(2).uniform(0, 1, 50)
    adjusted = holm(p)
    assert (adjusted <= 1).all()
    assert (adjusted >= p).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_wilcoxon_of_one_experiment_is_an_empty_table() -> None:
    table = wilcoxon(table_of(one_class("R", [0.5] * 7)), "R")
    assert table.empty
    assert list(table.columns) == COLUMNS


def test_wilcoxon_rejects_a_reference_without_results() -> None:
    with pytest.raises(ValueError, match="UMD"):
        wilcoxon(table_of(one_class("A", [0.5])), "UMD+TH")


def test_resampled_medians_equal_those_of_the_drawn_slices_written_out() -> None:
    generator = np.random.default_rng(8)
    values, patients = generator.normal(size=21), generator.integers(0, 6, 21)
    drawn = draw_cohorts(6, 200, seed=3)
    expected = [np.median(np.repeat(values, cohort[patients])) for cohort in drawn if cohort[patients].any()]
    assert resampled_medians(values, patients, drawn) == pytest.approx(expected)


def test_wilcoxon_interval_is_that_of_medians_with_whole_patients_drawn() -> None:
    generator = np.random.default_rng(9)
    keys = [(f"p{patient}", place, 1, 0) for patient in range(8) for place in range(5)]
    better = {key: 0.5 + 0.05 * (int(key[0][1]) - 3) + generator.normal(0, 0.001) for key in keys}
    table = wilcoxon(table_of(rows("R", dict.fromkeys(keys, 0.5)), rows("A", better)), "R", resamples=2000, seed=5)
    found = of_slices(table, "A")
    values = np.array([round(value * 1_000_000) / 1_000_000 - 0.5 for value in better.values()])
    generator = np.random.default_rng(10)
    medians = [
        np.median(np.concatenate([values[5 * p : 5 * p + 5] for p in generator.integers(0, 8, 8)])) for _ in range(4000)
    ]
    assert [found["interval_low"], found["interval_high"]] == pytest.approx(
        np.quantile(medians, [0.025, 0.975]), abs=0.02
    )
    # Were slices drawn by themselves, the interval would be less than half as wide.
    alone = np.quantile([np.median(generator.choice(values, 40)) for _ in range(2000)], [0.025, 0.975])
    assert found["interval_high"] - found["interval_low"] > 1.5 * (alone[1] - alone[0])


def test_wilcoxon_intervals_depend_on_the_seed_only() -> None:
    generator = np.random.default_rng(11)
    table = table_of(*(one_class(name, generator.uniform(0.2, 0.8, 9).tolist()) for name in "RA"))
    first, second, other = (wilcoxon(table, "R", seed=seed)["interval_low"].tolist() for seed in (1, 1, 2))
    assert first == second != other
