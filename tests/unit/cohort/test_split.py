"""The split of patients into folds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.cohort.sheet import Session
from lumbarseg.cohort.split import Assignment, changed_folds, read_folds, split_patients
from lumbarseg.errors import InputError


def cohort(number: int, sites: int = 1, sessions: int = 1) -> list[Session]:
    return [
        Session(f"p{patient}", f"{visit}", "t2w", "t1w", "mask", {"site": f"s{patient % sites}"})
        for patient in range(number)
        for visit in range(sessions)
    ]


@given(st.integers(6, 200), st.integers(2, 5), st.integers(0, 5), st.integers(1, 3))
def test_split_patients_gives_disjoint_subsets_and_validates_every_patient_once(number, folds, seed, sessions):
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


def test_split_patients_keeps_33_of_the_papers_181_for_the_test():
    rows = split_patients(cohort(181), 3, "auto", None, 1)
    assert Counter(row.subset for row in rows if row.fold == 1) == {"test": 33, "train": 98, "validation": 50}


def test_split_patients_depends_on_the_seed_but_not_on_the_order():
    sessions = cohort(30)
    assert split_patients(sessions, 3, "auto", None, 1) == split_patients(sessions[::-1], 3, "auto", None, 1)
    assert split_patients(sessions, 3, "auto", None, 1) != split_patients(sessions, 3, "auto", None, 2)


def test_split_patients_spreads_strata_evenly():
    sessions = cohort(60, sites=2)
    site = {session.participant_id: session.demographics["site"] for session in sessions}
    rows = split_patients(sessions, 3, 12, "site", 1)
    for subset in ("train", "validation", "test"):
        counts = Counter(site[row.participant_id] for row in rows if row.fold == 1 and row.subset == subset)
        assert abs(counts["s0"] - counts["s1"]) <= 1, subset


def test_split_patients_ignores_patients_without_a_mask():
    sessions = [*cohort(10), Session("unlabelled", "01", "t2w", "t1w", "")]
    assert "unlabelled" not in {row.participant_id for row in split_patients(sessions, 3, "auto", None, 1)}


def test_split_patients_rejects_too_few_patients():
    with pytest.raises(InputError, match="are too few for 3 folds"):
        split_patients(cohort(3), 3, "auto", None, 1)


def test_read_folds_returns_a_split_as_written(tmp_path):
    sessions = cohort(10)
    rows = split_patients(sessions, 3, "auto", None, 1)
    file = tmp_path / "folds.tsv"
    lines = [f"{row.participant_id}\t{row.fold}\t{row.subset}" for row in rows]
    file.write_text("\n".join(["participant_id\tfold\tsubset", *lines]) + "\n")
    assert read_folds(file, sessions, 3) == rows


def test_changed_folds_are_those_with_other_training_or_validation_patients(tmp_path):
    file = tmp_path / "folds.tsv"
    now = [Assignment(name, fold, "train" if name == "a" else "validation") for fold in (1, 2) for name in "ab"]
    assert changed_folds(file, now) == []
    rows = ["a\t1\ttrain", "b\t1\tvalidation", "a\t2\tvalidation", "b\t2\ttrain"]
    file.write_text("\n".join(["participant_id\tfold\tsubset", *rows]) + "\n")
    assert changed_folds(file, now) == [2]
    assert (
        changed_folds(file, [*now[:2], *(Assignment(n, 2, s) for n, s in (("a", "validation"), ("b", "train")))]) == []
    )
    # another test patient changes no network
    assert changed_folds(file, [*now, Assignment("c", 1, "test"), Assignment("c", 2, "test")]) == [2]


def folds_lines(sessions):
    return [f"{row.participant_id}\t{row.fold}\t{row.subset}" for row in split_patients(sessions, 3, "auto", None, 1)]


def write_folds(folder, lines):
    file = folder / "folds.tsv"
    file.write_text("\n".join(["participant_id\tfold\tsubset", *lines]) + "\n")
    return file


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\t1\t", "\t1.0\t").replace("\t2\t", "\t2,00\t"),
        lambda text: text.replace("train", " Train ").replace("test", "TEST").replace("p0", "sub-p0"),
        lambda text: text.replace("fold", " Fold ") + "\t\t\n\n\t\n",
    ],
    ids=["byte order mark", "Windows line ends", "decimals", "capitals and spaces", "empty rows"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_read_folds_accepts_what_spreadsheets_write(tmp_path, change, encoding):
    sessions = cohort(10)
    file = write_folds(tmp_path, folds_lines(sessions))
    file.write_bytes(change(file.read_text()).encode(encoding))
    assert read_folds(file, sessions, 3) == split_patients(sessions, 3, "auto", None, 1)


def test_read_folds_accepts_numbers_as_patients(tmp_path):
    sessions = [Session(f"{patient:03d}", "1", "t2w", "t1w", "mask") for patient in range(10)]
    lines = folds_lines(sessions)
    decimals = write_folds(tmp_path, [line.replace("\t", ".0\t", 1) for line in lines])
    assert read_folds(decimals, sessions, 3) == split_patients(sessions, 3, "auto", None, 1)
    shortened = write_folds(tmp_path, [line[2:] for line in lines])
    with pytest.raises(InputError, match=r"patient 0 has no mask .* or write 000 \(spreadsheets drop leading zeros\)"):
        read_folds(shortened, sessions, 3)


@pytest.mark.parametrize("written", ["P0", "Sub-p0", "SUB-P0"])
def test_read_folds_offers_the_patient_that_the_sheet_writes_in_other_capitals(tmp_path, written):
    sessions = cohort(10)
    file = write_folds(tmp_path, [line.replace("p0\t", f"{written}\t") for line in folds_lines(sessions)])
    with pytest.raises(
        InputError, match=rf"line 2: patient {written} has no mask .*, or write p0 \(as in the sheet\)$"
    ):
        read_folds(file, sessions, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, lines[0]], "line 32: patient p0 is already in fold 1"),
        (lambda lines: lines[1:], "no row for patient p0 in fold 1; add it"),
        (lambda lines: [*lines, "stranger\t1\ttrain"], "line 32: patient stranger has no mask"),
        (lambda lines: [line.replace("validation", "train") for line in lines], "no validation patient in fold 1"),
        (lambda lines: ["p0\tone\ttrain", *lines], "line 2: fold “one” is not a whole number"),
        (lambda lines: ["p0\t1.5\ttrain", *lines], "line 2: fold “1.5” is not a whole number"),
        (lambda lines: ["p0\t\ttrain", *lines], "line 2: fold “” is not a whole number"),
        (lambda lines: [f"p0\t{'9' * 5000}\ttrain", *lines], "line 2: fold “9{40}…” is not a whole number"),
        (lambda lines: ["p0\t1.000\ttrain", *lines], "line 2: fold “1.000” is not a whole number"),
        (lambda lines: [*lines, "p0\t4\ttrain"], "line 32: fold 4 is not one of 1 to 3; .*`split.folds`"),
        (lambda lines: [*lines, "p0\t0\ttrain"], "line 32: fold 0 is not one of 1 to 3"),
        (
            lambda lines: [*lines[1:], lines[0].replace("\t1\t", "\t1\tun")],
            "line 31: subset “un.*” is not one of train",
        ),
        (lambda lines: [*lines, "\t1\ttrain"], r"line 32: no patient; fill in `participant_id`, or remove the row$"),
        (lambda lines: [*lines, "sub-\t1\ttrain"], "line 32: no patient; fill in"),
        (lambda lines: [], "no rows below the header"),
        (
            lambda lines: [line.replace("\ttest", "\ttrain") if "\t2\t" in line else line for line in lines],
            "is a test patient in some folds only",
        ),
    ],
)
def test_read_folds_rejects_leaks_holes_and_bad_cells(tmp_path, change, message):
    sessions = cohort(10)
    file = write_folds(tmp_path, change(folds_lines(sessions)))
    with pytest.raises(InputError, match=message) as caught:
        read_folds(file, sessions, 3)
    assert str(caught.value).startswith(str(file))


def test_read_folds_reports_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"folds\.tsv: split not found; fix `split\.file`"):
        read_folds(tmp_path / "folds.tsv", cohort(10), 3)


CELLS = st.sampled_from(
    [
        "",
        "p0",
        "sub-p1",
        "p2.0",
        "1",
        "2.0",
        "x",
        "1.000",
        "-1",
        "9" * 12,
        "train",
        "TEST",
        "=1",
        '"',
        "\u0661",
        "validation",
    ]
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=4).map("\t".join), max_size=5), keep=st.integers(0, 30))
def test_read_folds_of_any_rows_is_a_split_or_ends_in_one_sentence(rows, keep, tmp_path_factory):
    sessions = cohort(10)
    file = write_folds(tmp_path_factory.getbasetemp(), [*folds_lines(sessions)[:keep], *rows])
    try:
        found = read_folds(file, sessions, 3)
    except InputError as error:
        assert str(error).startswith(str(file))
        assert "\n" not in str(error)
    else:
        assert len(found) == 30
