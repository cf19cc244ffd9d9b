"""The hyper-parameter search: its trials, what their histories say, and the choice."""

import copy

import numpy as np
import pandas as pd
import pytest
import yaml

from factories.workflow import ROOT
from lumbarseg.config.study import Study
from lumbarseg.training.search import combinations, trial_rows

PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())


def study(**search):
    config = copy.deepcopy(PAPER)
    config["search"] = {"learning_rates": {"adam": [0.001], "sgd": [0.1, 0.01]}, "activations": ["relu"]} | search
    return Study(config)


def history(*accuracies):
    values = np.array(accuracies, float)
    return pd.DataFrame({"epoch": range(1, len(values) + 1), "val_accuracy": values, "val_patch_iou": values / 2})


def test_trials_are_every_combination_for_every_topology_with_its_own_blocks():
    trials = study(topologies=["UMD", "U1"], activations=["relu", "prelu"]).trials
    assert len(trials) == 2 * 3 * 2
    assert next(iter(trials)) == "UMD_adam_0.001_relu"
    entry = trials["UMD_sgd_0.01_prelu"].entry
    assert (entry["optimiser"], entry["learning_rate"], entry["activation"]) == ("sgd", 0.01, "prelu")
    assert (entry["input"], entry["output"]) == ("multi_kernel", "ds3")


def test_trials_are_by_default_of_the_trained_topologies_and_can_leave_out_an_optimiser():
    trials = study(learning_rates={"adam": [0.001], "sgd": None}).trials
    assert {trial.topology for trial in trials.values()} == set(PAPER["train"])
    assert {trial.entry["optimiser"] for trial in trials.values()} == {"adam"}


def test_trials_of_the_papers_grid_hold_the_papers_choices():
    paper = Study(copy.deepcopy(PAPER))
    for name in paper.networks:
        chosen = paper.topology(name)
        assert any(trial.topology == name and trial.entry == chosen for trial in paper.trials.values()), name


def test_trials_are_none_without_a_search():
    config = {key: value for key, value in copy.deepcopy(PAPER).items() if key != "search"}
    assert Study(config).trials == {}


@pytest.fixture
def ranked():
    trials = [
        {"topology": "U1", "optimiser": optimiser, "learning_rate": rate, "activation": "relu", "fold": fold}
        for optimiser, rate in (("adam", 0.001), ("adam", 0.1), ("sgd", 1.0))
        for fold in (1, 2)
    ]
    histories = [history(0.5, 0.7, 0.7), history(0.6, 0.5, 0.4), history(0.1, 0.8, 0.2), history(0.7, 0.1, 0.1)]
    histories += [history(0.99), pd.DataFrame({"epoch": []})]
    rows = trial_rows(trials, histories, 3, "val_accuracy")
    present = {"U1": {"optimiser": "adam", "learning_rate": 0.001, "activation": "relu"}}
    return rows, combinations(rows, present, "val_accuracy")


def test_trial_rows_take_the_first_best_epoch(ranked):
    rows, _ = ranked
    assert rows["best_epoch"].tolist()[:5] == [2, 1, 2, 1, 1]
    assert rows["val_accuracy"].tolist()[:4] == [0.7, 0.6, 0.8, 0.7]
    assert rows["val_patch_iou"].iloc[0] == 0.35
    assert rows["diverged"].tolist() == [False] * 4 + [True] * 2
    assert rows["best_epoch"].isna().tolist() == [False] * 5 + [True]


def test_combinations_rank_by_the_mean_and_never_choose_one_that_diverged(ranked):
    _, means = ranked
    assert means["learning_rate"].tolist() == [0.1, 0.001, 1.0]
    assert means["best"].tolist() == [True, False, False]
    assert means["present"].tolist() == [False, True, False]
    assert means["val_accuracy"].iloc[0] == pytest.approx(0.75)
