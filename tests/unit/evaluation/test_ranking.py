"""The ranking of experiments, against the tables' own means and cohorts drawn one by one."""

import numpy as np
import pandas as pd
import pytest

from factories.evaluation import rows, table_of
from lumbarseg.evaluation.metrics import fold_iou, mean_iou, over_folds, patient_iou
from lumbarseg.evaluation.ranking import rank_experiments
from lumbarseg.evaluation.statistics import draw_cohorts
from lumbarseg.labels import LabelTable

CLASSES = LabelTable([{"id": c, "name": f"tissue {c}", "colour": "#123456"} for c in range(3)])


def per_patient(qualities: dict[str, float], noise: float, lacking: tuple[str, int] | None = None) -> pd.DataFrame:
    generator = np.random.default_rng(12)
    keys = [(f"p{p}", s, f, c) for p in range(9) for s in range(2) for f in (1, 2, 3) for c in range(3)]
    parts = [
        rows(
            name,
            {k: float(np.clip(quality + generator.normal(0, noise), 0, 1)) for k in keys if (name, k[2]) != lacking},
        )
        for name, quality in qualities.items()
    ]
    return patient_iou(table_of(*parts), CLASSES)


def test_rank_experiments_uses_the_mean_of_the_tables() -> None:
    patients = per_patient({"A": 0.5, "B": 0.7, "C": 0.6}, noise=0.1)
    ranking = rank_experiments(patients, background=0)
    assert ranking["experiment"].tolist() == ["B", "C", "A"]
    assert ranking["rank"].tolist() == [1, 2, 3]
    folds = over_folds(mean_iou(fold_iou(patients, CLASSES), 0), ["experiment"], "without_background").set_index(
        "experiment"
    )
    for row in ranking.itertuples():
        assert row.mean_iou == pytest.approx(folds.loc[row.experiment, "mean"])
        assert row.sd == pytest.approx(folds.loc[row.experiment, "sd"])


def test_rank_experiments_is_certain_where_experiments_differ_and_uncertain_otherwise() -> None:
    certain = rank_experiments(per_patient({"A": 0.3, "B": 0.8}, noise=0.02), background=0)
    assert certain[["rank_low", "rank_high", "best_fold_rank", "worst_fold_rank"]].to_numpy().tolist() == [
        [1] * 4,
        [2] * 4,
    ]
    assert certain["first_share"].tolist() == [1, 0]
    uncertain = rank_experiments(per_patient({"A": 0.5, "B": 0.5, "C": 0.5}, noise=0.2), background=0)
    assert (uncertain["rank_high"] - uncertain["rank_low"]).max() == 2
    assert 0.2 < uncertain["first_share"].max() < 1


def test_rank_experiments_first_shares_equal_those_of_cohorts_drawn_one_by_one() -> None:
    patients = per_patient({"A": 0.5, "B": 0.52}, noise=0.15)
    shares = rank_experiments(patients, background=0, resamples=60, seed=4).set_index("experiment")["first_share"]
    first = 0
    for cohort in draw_cohorts(9, 60, seed=4):
        times = patients["participant_id"].str[1:].astype(int).map(dict(enumerate(cohort)))
        drawn = patients.loc[patients.index.repeat(times)]
        means = over_folds(mean_iou(fold_iou(drawn, CLASSES), 0), ["experiment"], "without_background").set_index(
            "experiment"
        )
        first += means.loc["A", "mean"] >= means.loc["B", "mean"]
    assert shares["A"] == pytest.approx(first / 60)


def test_rank_experiments_ranks_an_incomplete_experiment_by_its_folds() -> None:
    ranking = rank_experiments(per_patient({"A": 0.5, "B": 0.7}, noise=0.02, lacking=("B", 2)), background=0)
    assert ranking["experiment"].tolist() == ["B", "A"]
    assert ranking["folds"].tolist() == [2, 3]


def test_rank_experiments_puts_an_experiment_without_iou_last_without_rank() -> None:
    patients = per_patient({"A": 0.5, "B": 0.7}, noise=0.02)
    patients.loc[patients["experiment"] == "B", ["true_pixels", "predicted_pixels", "common_pixels"]] = 0
    ranking = rank_experiments(patients, background=0)
    assert ranking["experiment"].tolist() == ["A", "B"]
    assert ranking["rank"].isna().tolist() == [False, True]
    assert ranking["first_share"].tolist() == [1, 0]
