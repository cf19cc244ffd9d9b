"""The sheet of sessions and the split into folds."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumbarseg.cohort.sheet import Session, read_sheet
from lumbarseg.cohort.split import Assignment, changed_folds, read_folds, split_patients
from lumbarseg.errors import InputError

HEADER = "participant_id\tsession_id\tt2w\tt1w\tmask\tage\tsex\tweight\tsite"


def cohort(number: int, sites: int = 1, sessions: int = 1) -> list[Session]:
    return [
        Session(f"p{patient}", f"{visit}", "t2w", "t1w", "mask", {"site": f"s{patient % sites}"})
        for patient in range(number)
        for visit in range(sessions)
    ]


def write_sheet(folder, *rows, header=HEADER):
    for name in ("t2w.nii.gz", "t1w.nii.gz", "mask.nii.gz"):
        (folder / name).touch()
    sheet = folder / "sessions.tsv"
    sheet.write_text("\n".join([header, *rows]) + "\n")
    return sheet


GOOD = "sub-A1\t01\tt2w.nii.gz\tt1w.nii.gz\tmask.nii.gz\t53\tF\t74.1\tValencia"


def test_a_sheet_is_read_with_paths_relative_to_it(tmp_path):
    (session,) = read_sheet(write_sheet(tmp_path, GOOD), ["T2w", "T1w"])
    assert session.label == "sub-A1_ses-01"
    assert session.t2w == str(tmp_path / "t2w.nii.gz")
    assert session.demographics == {"age": "53", "sex": "F", "weight": "74.1", "site": "Valencia"}


def test_a_study_of_t2w_alone_needs_no_t1w_column(tmp_path):
    sheet = write_sheet(tmp_path, "A1\t01\tt2w.nii.gz\t", header="participant_id\tsession_id\tt2w\tmask")
    assert read_sheet(sheet, ["T2w"])[0].t1w == ""


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([GOOD], HEADER.replace("\tt2w", ""), "expected the columns .* add t2w"),
        ([], HEADER, "found only the header"),
        ([GOOD.replace("t1w.nii.gz", "")], HEADER, "line 2: expected a T1w image for patient A1, found an empty cell"),
        ([GOOD.replace("mask.nii.gz", "gone.nii.gz")], HEADER, "line 2: expected `mask` .*gone.nii.gz"),
        ([GOOD, GOOD], HEADER, "sub-A1_ses-01 in lines 2 and 3"),
        ([GOOD.replace("sub-A1", "A_1")], HEADER, "expected letters and digits as participant_id, found “A_1”"),
    ],
)
def test_a_mistake_in_the_sheet_is_told_in_one_sentence(tmp_path, rows, header, message):
    sheet = write_sheet(tmp_path, *rows, header=header)
    with pytest.raises(InputError, match=message) as caught:
        read_sheet(sheet, ["T2w", "T1w"])
    assert str(sheet) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sheet_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="found no such file"):
        read_sheet(tmp_path / "sessions.tsv", ["T2w"])


@given(st.integers(6, 200), st.integers(2, 5), st.integers(0, 5), st.integers(1, 3))
def test_subsets_are_disjoint_by_patient_and_every_patient_validates_once(number, folds, seed, sessions):
    if number - round(0.2 * number) < folds:
        return
    rows = split_patients(cohort(number, sessions=sessions), folds, "auto", None, seed)
    assert Counter((row.participant_id, row.fold) for row in rows).most_common(1)[0][1] == 1
    for fold in range(1, folds + 1):
        counts = Counter(row.subset for row in rows if row.fold == fold)
        assert sum(counts.values()) == number
        assert counts["test"] == (33 if number == 181 else round(0.2 * number))
    validated = Counter(row.participant_id for row in rows if row.subset == "validation")
    assert set(validated.values()) == {1}
    tests = {
        fold: {row.participant_id for row in rows if row.subset == "test" and row.fold == fold}
        for fold in range(1, folds + 1)
    }
    assert all(test == tests[1] for test in tests.values())
    assert not tests[1] & set(validated)


def test_the_papers_181_patients_keep_33_for_the_test():
    rows = split_patients(cohort(181), 3, "auto", None, 1)
    assert Counter(row.subset for row in rows if row.fold == 1) == {"test": 33, "train": 98, "validation": 50}


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_sheet():
    sessions = cohort(30)
    assert split_patients(sessions, 3, "auto", None, 1) == split_patients(sessions[::-1], 3, "auto", None, 1)
    assert split_patients(sessions, 3, "auto", None, 1) != split_patients(sessions, 3, "auto", None, 2)


def test_strata_are_spread_evenly():
    sessions = cohort(60, sites=2)
    site = {session.participant_id: session.demographics["site"] for session in sessions}
    rows = split_patients(sessions, 3, 12, "site", 1)
    for subset in ("train", "validation", "test"):
        counts = Counter(site[row.participant_id] for row in rows if row.fold == 1 and row.subset == subset)
        assert abs(counts["s0"] - counts["s1"]) <= 1, subset


def test_patients_without_a_mask_are_not_split():
    sessions = [*cohort(10), Session("unlabelled", "01", "t2w", "t1w", "")]
    assert "unlabelled" not in {row.participant_id for row in split_patients(sessions, 3, "auto", None, 1)}


def test_too_few_patients_are_refused():
    with pytest.raises(InputError, match="expected at least 3 patients"):
        split_patients(cohort(3), 3, "auto", None, 1)


def test_a_split_made_elsewhere_comes_back_as_it_was(tmp_path):
    sessions = cohort(10)
    rows = split_patients(sessions, 3, "auto", None, 1)
    file = tmp_path / "folds.tsv"
    lines = [f"{row.participant_id}\t{row.fold}\t{row.subset}" for row in rows]
    file.write_text("\n".join(["participant_id\tfold\tsubset", *lines]) + "\n")
    assert read_folds(file, sessions, 3) == rows


def test_a_fold_is_dealt_anew_where_other_patients_train_or_validate_it(tmp_path):
    file = tmp_path / "folds.tsv"
    now = [Assignment(name, fold, "train" if name == "a" else "validation") for fold in (1, 2) for name in "ab"]
    assert changed_folds(file, now) == []
    rows = ["a\t1\ttrain", "b\t1\tvalidation", "a\t2\tvalidation", "b\t2\ttrain"]
    file.write_text("\n".join(["participant_id\tfold\tsubset", *rows]) + "\n")
    assert changed_folds(file, now) == [2]
    assert (
        changed_folds(file, [*now[:2], *(Assignment(n, 2, s) for n, s in (("a", "validation"), ("b", "train")))]) == []
    )
    # a patient more for the test is none for a network
    assert changed_folds(file, [*now, Assignment("c", 1, "test"), Assignment("c", 2, "test")]) == [2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, lines[0]], "expected each patient once a fold"),
        (lambda lines: lines[1:], "found no row for p0 in fold 1"),
        (lambda lines: [*lines, "stranger\t1\ttrain"], "found stranger"),
        (
            lambda lines: [line.replace("validation", "train") for line in lines],
            "expected a validation patient in fold 1",
        ),
    ],
)
def test_a_split_that_leaks_or_has_holes_is_refused(tmp_path, change, message):
    sessions = cohort(10)
    rows = split_patients(sessions, 3, "auto", None, 1)
    lines = [f"{row.participant_id}\t{row.fold}\t{row.subset}" for row in rows]
    file = tmp_path / "folds.tsv"
    file.write_text("\n".join(["participant_id\tfold\tsubset", *change(lines)]) + "\n")
    with pytest.raises(InputError, match=message):
        read_folds(file, sessions, 3)
