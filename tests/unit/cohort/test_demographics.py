"""Age, sex, weight and site as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.cohort.demographics import read_demographic


@pytest.mark.parametrize(
    ("name", "cell", "read"),
    [
        ("age", "53", "53"), ("age", "53.0", "53.0"), ("age", "0.5", "0.5"), ("age", "89+", "89"), ("age", ">89", "89"),
        ("age", "≥90", "90"), ("age", "120", "120"), ("age", "n/a", ""), ("age", "", ""), ("age", "NaN", ""),
        ("weight", "74,1", "74.1"), ("weight", "74.1", "74.1"), ("weight", "500", "500"), ("weight", "unknown", ""),
        ("sex", "F", "F"), ("sex", "female", "F"), ("sex", "m", "M"), ("sex", "Male", "M"), ("sex", "1.0", "M"), ("sex", "2", "F"),
        ("sex", "O", "O"), ("sex", "0", ""), ("sex", "N/A", ""),
        ("site", "1.0", "1"), ("site", "1", "1"), ("site", "1.000", "1.000"), ("site", "Valencia", "Valencia"), ("site", "-", ""),
    ],
)  # fmt: skip
def test_read_demographic_reads_what_spreadsheets_dicom_and_bids_write(name, cell, read):
    assert read_demographic(name, cell) == read


@pytest.mark.parametrize(
    ("name", "cells", "allowed"),
    [
        ("age", ("-1", "121", "abc", "053Y", "1e1", "inf", "=1+1", "5 3", "1.2.3", "٥٣", "--", "53 years"), "a number of years from 0 to 120"),
        ("weight", ("0", "-70", "501", "1e30", "70 kg", "=70", "@x", "70+", "inf"), "a number of kg from 0.3 to 500"),
        ("sex", ("x", "3", "FM", "=F", "-F", "F\tM"), "F, M or O"),
    ],
)  # fmt: skip
def test_read_demographic_refuses_anything_else_and_says_what_is_allowed(name, cells, allowed):
    for cell in cells:
        with pytest.raises(ValueError, match=f"^{allowed}$"):
            read_demographic(name, cell)


@settings(max_examples=100)
@given(name=st.sampled_from(["age", "weight"]), cell=st.text(alphabet="0123456789.,-+eE =>@", max_size=6))
def test_read_demographic_of_any_text_is_a_number_in_range_or_unknown(name, cell):
    try:
        read = read_demographic(name, cell)
    except ValueError:
        return
    assert read == "" or 0 <= float(read) <= 500
