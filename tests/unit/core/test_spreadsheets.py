"""Cells that a spreadsheet would run."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.atomic_io import write_csv
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.spreadsheets import harmless_table, harmless_text

FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0", " =1+1", "\t=1+1", "\r=1", "\n@x",
    "\ufeff=1", "\u200b-x", "\uff1d1+1", "\uff0b1", "\uff20x", "-2+3+cmd|' /C calc'!A0", "-x", "+x", "--1", "-5 SUM(A1)",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_harmless_text_puts_an_apostrophe_before_a_formula(text):
    harmless = harmless_text(text)
    ends = re.match(r"[\t\n]?", text).end()
    assert harmless == f"{text[:ends]}'{text[ends:]}".replace("\r", " ")
    assert harmless_text(harmless) == harmless


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("x;=1+1", "x;'=1+1"), ("x\t=1", "x\t'=1"), ("x\n@y", "x\n'@y"), ("x,=1", "x,'=1"), ("a; -b", "a;' -b"),
        ("=1;=2,+x", "'=1;'=2,'+x"), ('x;"=1"', "x;'\"=1\""), ("x\u2028=1", "x\u2028'=1"), ("-1;cmd", "'-1;cmd"),
        ("x;\u00ad＝1", "x;'\u00ad＝1"), ("a\rb;=1", "a b;'=1"),
    ],
)  # fmt: skip
def test_harmless_text_puts_an_apostrophe_before_formulas_after_any_separator(text, harmless):
    assert harmless_text(text) == harmless
    assert harmless_text(harmless) == harmless


@settings(max_examples=200)
@given(
    before=st.text('\u00ad\ufe0f\u034f\u061c\u180e\u115f\u3164\u2061\u2800\ue000\x00\x7f \u00a0\u3000"', max_size=4),
    sign=st.sampled_from("=+-@＝＋－＠﹦﹢﹣﹫⁺⁼₊₌"),
    separator=st.sampled_from(["", "x;", "x,", "x\t", "x\n"]),
)
def test_harmless_text_looks_behind_invisible_characters_at_signs_of_any_form(before, sign, separator):
    assert harmless_text(f"{separator}{before}{sign}a") == f"{separator}'{before}{sign}a"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "–",
        "Vert",
        "Int-Disc",
        "a=1",
        "-3.2",
        "+5",
        "-1e-05",
        "-3.2 mm",
        "2026-11-26",
        "U1+TH",
        "'x",
        "-inf",
        "1+1",
        "-1, -2.5",
        "12; -3 mm",
        "a; b - c",
        "x;-",
    ],
)
def test_harmless_text_keeps_texts_and_numbers(text):
    assert harmless_text(text) == text


def test_harmless_table_keeps_a_table_without_formulas_as_it_is():
    table = pd.DataFrame(
        {"site": ["north", None], "value": [-1.5, np.nan], "n": [-1, 2], "kind": pd.Categorical(["a", "-"])}
    )
    pd.testing.assert_frame_equal(harmless_table(table), table)


def test_harmless_table_keeps_columns_of_one_name_apart_and_names_that_are_no_text():
    table = pd.DataFrame([["=1", "=2", 3.5, "=x"]], columns=["a", "a", "@n", 7])
    harmless = harmless_table(table)
    assert list(harmless.columns) == ["a", "a", "'@n", 7]
    assert harmless.iloc[0].tolist() == ["'=1", "'=2", 3.5, "'=x"]
    assert table.iloc[0].tolist() == ["=1", "=2", 3.5, "=x"]


def test_write_csv_writes_no_formula_in_cells_and_column_names(tmp_path):
    table = pd.DataFrame(
        {"site": [*FORMULAS, "north"], "@x": range(len(FORMULAS) + 1), "=1": pd.Categorical(["=a"] * 21)}
    )
    write_csv(tmp_path / "table.csv", table)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as lines:
        cells = [cell for row in csv.reader(lines) for cell in row]
    assert not [cell for cell in cells if cell.strip("\ufeff\u200b \t\r\n")[:1] in tuple("=+-@\uff1d\uff0b\uff20")]
    assert list(read_csv(tmp_path / "table.csv")["site"]) == [*map(harmless_text, FORMULAS), "north"]


def test_harmless_text_keeps_a_cell_in_its_row(tmp_path):
    write_csv(tmp_path / "table.csv", pd.DataFrame({"site": ["north\r=1+1", "south\n=1"]}))
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as lines:
        assert [row[0] for row in csv.reader(lines)] == ["site", "north =1+1", "south\n'=1"]
