"""Which test slices figures show."""

import itertools

import numpy as np
import pandas as pd
import pytest

from lumbarseg.config.model_sections import CaseSlice
from lumbarseg.errors import InputError
from lumbarseg.evaluation.case_selection import cases_by_hand, choose_cases


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    """IoU of an experiment: two folds, three patients with three slices each, three classes."""
    keys = itertools.product(["U1+TH"], (1, 2), ("p1", "p2", "p3"), ("01",), range(3), range(3))
    frame = pd.DataFrame(keys, columns=["experiment", "fold", "participant_id", "session_id", "slice", "class_id"])
    return frame.assign(iou=np.random.default_rng(4).uniform(0.3, 0.95, len(frame)))


def test_choose_cases_takes_best_median_and_worst_of_three_patients(results: pd.DataFrame) -> None:
    first_fold = results[(results["fold"] == 1) & (results["class_id"] != 0)]
    means = {key: rows["iou"].mean() for key, rows in first_fold.groupby(["participant_id", "slice"])}
    cases = choose_cases(results, "U1+TH", background=0).set_index("case")
    assert list(cases.index) == ["best", "median", "worst"]
    assert cases["participant_id"].nunique() == 3
    assert cases.loc["best", "mean_iou"] == pytest.approx(max(means.values()))
    best_patient = cases.loc["best", "participant_id"]
    others = [mean for (patient, _), mean in means.items() if patient != best_patient]
    assert cases.loc["worst", "mean_iou"] == pytest.approx(min(others))
    for row in cases.itertuples():
        assert means[(row.participant_id, row.slice)] == pytest.approx(row.mean_iou)


def test_choose_cases_takes_three_slices_of_a_single_patient(results: pd.DataFrame) -> None:
    cases = choose_cases(results[results["participant_id"] == "p2"], "U1+TH", background=0)
    assert cases["mean_iou"].is_monotonic_decreasing
    assert cases["slice"].nunique() == 3


def test_choose_cases_refuses_an_experiment_without_results(results: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="UMD"):
        choose_cases(results, "UMD+TH", background=0)


def test_cases_by_hand_finds_the_slices_of_the_config_in_the_first_fold(results: pd.DataFrame) -> None:
    wanted = [
        CaseSlice(participant_id="p2", session_id="01", slice=2),
        CaseSlice(participant_id="p1", session_id="01", slice=0),
    ]
    cases = cases_by_hand(results, wanted)
    assert cases[["case", "fold", "participant_id", "session_id", "slice"]].to_numpy().tolist() == [
        ["by hand", 1, "p2", "01", 2],
        ["by hand", 1, "p1", "01", 0],
    ]
    assert cases_by_hand(results, []).empty


@pytest.mark.parametrize(
    ("participant", "slice_number", "reason"), [("p2", 3, "slices 0 to 2"), ("p9", 0, "no such test session")]
)
def test_cases_by_hand_refuses_what_is_no_test_slice(
    results: pd.DataFrame, participant: str, slice_number: int, reason: str
) -> None:
    with pytest.raises(InputError, match=f"figures.slices: participant {participant}, session 01.*{reason}"):
        cases_by_hand(results, [CaseSlice(participant_id=participant, session_id="01", slice=slice_number)])
