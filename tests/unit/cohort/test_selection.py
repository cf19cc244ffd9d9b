"""Selection of sessions by the paper's criteria."""

import pytest

from lumbarseg.cohort.selection import (
    COLUMNS,
    LEFT_OUT,
    excludes,
    judge,
    left_out,
    require_planned_selection,
    selection_rows,
    summary,
    used_sessions,
)
from lumbarseg.config.image_sections import Selection
from lumbarseg.errors import InputError

NAMES = ["Background", "Vert", "Sacrum", "Int-Disc"]
GOOD = {
    "participant_id": "a", "session_id": "01", "classes": "0 1 2 3",
    "T2w_RepetitionTime": 4.0, "T2w_EchoTime": 0.1, "T2w_Height": 512, "T2w_Width": 512, "T2w_PixelSpacing": 0.6,
    "T2w_Slices": 12, "T2w_Brightness": 0.3, "T2w_Noise": 0.02,
    "T1w_RepetitionTime": 0.55, "T1w_EchoTime": 0.011, "T1w_Height": 512, "T1w_Width": 512, "T1w_PixelSpacing": 0.6,
    "T1w_Brightness": 0.3, "T1w_Noise": 0.02, "T1w_Overlap": 0.96,
}  # fmt: skip


def criteria(**actions):
    return Selection.model_validate({section: {"action": action} for section, action in actions.items()})


@pytest.mark.parametrize(
    ("changes", "criterion", "found", "expected"),
    [
        ({"T2w_RepetitionTime": 1.5}, "T2w RepetitionTime", "1500 ms", "2000 to 10172.2 ms"),
        ({"T1w_EchoTime": 0.03}, "T1w EchoTime", "30 ms", "6.824 to 17.424 ms"),
        ({"T2w_Width": 1100}, "T2w Width", "1100", "320 to 1024"),
        ({"T2w_Slices": 19}, "T2w Slices", "19", "8 to 14"),
        ({"T2w_Height": 320, "T2w_PixelSpacing": 0.5}, "T2w height", "160 mm", "at least 200 mm"),
        ({"classes": "0 1 3"}, "classes of the mask", "no Sacrum", "Vert, Sacrum"),
        ({"T1w_Overlap": 0.52}, "T1w overlap", "0.52", "0.75 to 1"),
        ({"T1w_Brightness": 0.05}, "T1w brightness", "0.05", "0.12 to 0.8"),
        ({"T2w_Noise": 0.31}, "T2w noise", "0.31", "at most 0.1"),
    ],
)
def test_judge_reports_values_outside_the_papers_ranges(changes, criterion, found, expected):
    [finding] = judge(GOOD | changes, criteria(), NAMES)
    assert (finding.criterion, finding.found, finding.expected) == (criterion, found, expected)
    assert not finding.excludes
    assert not judge(GOOD | changes, criteria(acquisition="ignore", coverage="ignore", quality="ignore"), NAMES)


def test_judge_accepts_values_in_range_and_missing_headers():
    assert not judge(GOOD, criteria(), NAMES)
    assert not judge(
        GOOD | {"T2w_RepetitionTime": float("nan"), "T2w_Noise": None, "T1w_EchoTime": ""}, criteria(), NAMES
    )
    assert not judge(GOOD | {"T2w_EchoTime": 0.0845}, criteria(), NAMES)  # 84.544, rounded
    assert not judge({name: value for name, value in GOOD.items() if "T1w" not in name}, criteria(), NAMES)
    assert not judge(GOOD | {"classes": "0 1"}, criteria(), ["Background", "Vert"])  # a study without a sacrum


def test_judge_ignores_ranges_of_null():
    changed = Selection.model_validate({"acquisition": {"T2w": {"Width": None}}})
    assert not judge(GOOD | {"T2w_Width": 2000}, changed, NAMES)


def test_selection_rows_list_excluded_sessions_first_with_every_reason(tmp_path):
    noisy = GOOD | {"participant_id": "b", "T2w_Noise": 0.2, "T2w_Width": 2000}
    wide = GOOD | {"participant_id": "c", "T2w_Width": 2000}
    rows = selection_rows([GOOD, noisy, wide], [("d", "02", "T1w")], criteria(quality="exclude"), NAMES)
    assert [(row["participant_id"], row["outcome"], row["criterion"]) for row in rows] == [
        ("d", LEFT_OUT, "both contrasts"),
        ("b", LEFT_OUT, "T2w Width"),
        ("b", LEFT_OUT, "T2w noise"),
        ("a", "used", ""),
        ("c", "used", "T2w Width"),
    ]
    table = tmp_path / "selection.csv"
    table.write_text("\n".join([",".join(COLUMNS), *(",".join(row.values()) for row in rows)]) + "\n")
    assert left_out(table) == {("d", "02"), ("b", "01")}
    assert left_out(tmp_path / "none.csv") == set()


def test_excludes_is_true_only_with_an_exclude_action():
    assert not excludes(criteria())
    assert excludes(criteria(coverage="exclude"))


def test_used_sessions_and_summary_follow_the_outcomes():
    noisy = GOOD | {"participant_id": "b", "T2w_Noise": 0.2}
    wide = GOOD | {"participant_id": "c", "T2w_Width": 2000}
    rows = selection_rows([GOOD, noisy, wide], [("d", "02", "T1w")], criteria(quality="exclude"), NAMES)
    assert used_sessions([GOOD, noisy, wide], rows) == [GOOD, wide]
    assert summary(rows) == "2 sessions excluded, 1 sessions outside a criterion but used"
    assert summary(selection_rows([GOOD], [], criteria(), NAMES)) == ""


def test_require_planned_selection_rejects_other_exclusions(tmp_path):
    noisy = GOOD | {"participant_id": "b", "T2w_Noise": 0.2}
    rows = selection_rows([GOOD, noisy], [("d", "02", "T1w")], criteria(quality="exclude"), NAMES)
    table = tmp_path / "selection.csv"
    table.write_text("\n".join([",".join(COLUMNS), *(",".join(row.values()) for row in rows)]) + "\n")
    require_planned_selection(table, [("b", "01")], [("d", "02", "T1w")])
    with pytest.raises(
        InputError, match=r"selection\.csv: 1 sessions are excluded, but the run was planned with 0; .* again"
    ):
        require_planned_selection(table, [], [("d", "02", "T1w")])
