"""Age, sex, weight and site as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.cohort.demographics import read_demographic


@pytest.mark.parametrize(
    ("name", "cell", "read"),
    [
        ("age", "53", "53"), ("age", "53.0", "53.0"), ("age", "0.5", "0.5"), ("age", "120", "120"), ("age", "045", "45"),
        ("age", "89+", "89"), ("age", "90 +", "90"), ("age", ">89", "90"), ("age", "> 89 years", "90"), ("age", "over 89", "90"),
        ("age", "≥90", "90"), ("age", ">=90", "90"), ("age", "89 or older", "89"), ("age", "90 years and over", "90"),
        ("age", "045Y", "45"), ("age", "45Y", "45"), ("age", "45 y", "45"), ("age", "45 Years", "45"), ("age", "45 años", "45"),
        ("age", "006M", "0.5"), ("age", "018m", "1.5"), ("age", "026W", "0.5"), ("age", "073D", "0.2"), ("age", "18 months", "1.5"),
        ("weight", "74,1", "74.1"), ("weight", "74.1", "74.1"), ("weight", "500", "500"), ("weight", "70.500", "70.500"),
        ("weight", "70 kg", "70"), ("weight", "70,5Kg", "70.5"), ("weight", "70\u00a0kg", "70"), ("weight", "070", "70"),
        ("sex", "F", "F"), ("sex", "female", "F"), ("sex", "m", "M"), ("sex", "Male", "M"), ("sex", "1.0", "M"), ("sex", "2", "F"),
        ("sex", "O", "O"), ("sex", "9", "O"), ("sex", "X", "O"), ("sex", "D", "O"), ("sex", "divers", "O"), ("sex", "0", ""),
        ("sex", "U", ""), ("sex", "weiblich", "F"), ("sex", "Männlich", "M"), ("sex", "mujer", "F"), ("sex", "hombre", "M"),
        ("sex", "femme", "F"), ("sex", "homme", "M"), ("sex", "女", "F"), ("sex", "男", "M"), ("sex", "Ж", "F"),
        ("site", "1.0", "1"), ("site", "1", "1"), ("site", "1.000", "1.000"), ("site", "Valencia", "Valencia"), ("site", "999", "999"),
    ],
)  # fmt: skip
def test_read_demographic_reads_what_spreadsheets_dicom_and_bids_write(name, cell, read):
    assert read_demographic(name, cell) == read


@pytest.mark.parametrize("name", ["age", "sex", "weight", "site"])
def test_read_demographic_reads_what_is_unknown_as_empty(name):
    for cell in (
        "",
        "n/a",
        "N/A",
        "#N/A",
        "#NV",
        "NaN",
        "unknown",
        "Unk",
        "missing",
        "N.A.",
        "k.A.",
        ".",
        "-",
        "--",
        "–",
        "—",
        "?",
    ):
        assert read_demographic(name, cell) == "", cell
    for cell in ("-9", "999", "9999", "-99", "999.0") if name != "site" else ():
        assert read_demographic(name, cell) == "", cell


@pytest.mark.parametrize(
    ("name", "cells", "allowed"),
    [
        (
            "age",
            ("-1", "121", "120.5", ">120", "abc", "45M", "45F", "45 w", "6 m", "1e1", "inf", "=1+1", "5 3", "1.2.3", "٥٣", "+45", "9" * 5000,
             ">" + "9" * 5000, ">>89", "999Y"),
            "a number of years from 0 to 120",
        ),
        ("weight", ("0", "-70", "501", "1e30", "154 lb", "70 g", "=70", "@x", "70+", "inf", "kg", "９0"), "a number of kg from 0.3 to 500"),
        ("sex", ("3", "FM", "M/F", "=F", "-F", "F\tM", "H", "V"), "F, M or O"),
    ],
)  # fmt: skip
def test_read_demographic_refuses_anything_else_and_says_what_is_allowed(name, cells, allowed):
    for cell in cells:
        with pytest.raises(ValueError, match=f"^{allowed}$"):
            read_demographic(name, cell)


@settings(max_examples=100)
@given(name=st.sampled_from(["age", "weight"]), cell=st.text(alphabet="0123456789.,-+eE =>@≥yYmMkg", max_size=6))
def test_read_demographic_of_any_text_is_a_number_in_range_or_unknown(name, cell):
    try:
        read = read_demographic(name, cell)
    except ValueError:
        return
    assert read == "" or 0 <= float(read) <= 500
