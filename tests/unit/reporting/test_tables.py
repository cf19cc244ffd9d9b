"""Tables: numbers computed by hand, and the files they are written to."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.tables.cohort import acquisition_table, cohort_table, dataset_table
from lumbarseg.reporting.tables.comparison import measures_table
from lumbarseg.reporting.tables.corrections import corrections_table
from lumbarseg.reporting.tables.iou import iou_table
from lumbarseg.reporting.tables.registration import registration_table
from lumbarseg.reporting.tables.search import search_table
from lumbarseg.reporting.tables.selection import selection_table
from lumbarseg.reporting.tables.settings import decimal, stacking_table, topologies_table
from lumbarseg.reporting.tables.writing import Cell, Table, print_table, read_printed, write_table

CLASSES = LabelTable(
    [{"id": i, "name": name, "colour": "#808080"} for i, name in enumerate(("Background", "Vert", "Epi-Fat"))]
)


def iou_of(experiment: str, *folds: tuple[float, float, float]) -> list[dict[str, object]]:
    return [
        {"experiment": experiment, "fold": fold, "class_id": c, "class_name": CLASSES[c].name, "iou": value}
        for fold, values in enumerate(folds, start=1)
        for c, value in enumerate(values)
    ]


@pytest.fixture
def iou() -> pd.DataFrame:
    return pd.DataFrame(
        iou_of("U1+MAP", (0.90, 0.80, 0.50), (0.92, 0.82, 0.54), (0.94, 0.84, 0.52))
        + iou_of("E12+NAD+TH", (0.91, 0.85, 0.60), (0.93, 0.87, 0.62), (0.95, 0.89, 0.64))
        + iou_of("UNASKED+MAP", (0.99, 0.99, 0.99))
    )


def test_iou_table_has_means_over_folds_in_per_cent_and_the_two_averages(iou: pd.DataFrame) -> None:
    table = iou_table(iou, ["U1+MAP", "E12+NAD+TH"], CLASSES)
    mean, sd = table.values, table.sd
    assert list(mean.columns) == ["class_id", "class_name", "U1+MAP", "E12+NAD+TH"]
    assert mean["class_name"].tolist() == ["Background", "Vert", "Epi-Fat", "IoU without Bg.", "IoU with Bg."]
    assert mean["class_id"].tolist()[:3] == [0, 1, 2]
    assert mean["class_id"].isna().tolist() == [False, False, False, True, True]
    assert mean["U1+MAP"].tolist() == pytest.approx([92, 82, 52, 67, (92 + 82 + 52) / 3], abs=1e-4)
    assert sd["U1+MAP"].tolist()[:3] == pytest.approx([2, 2, 2])
    of_folds = [(80 + 50) / 2, (82 + 54) / 2, (84 + 52) / 2]
    assert sd["U1+MAP"].tolist()[3] == pytest.approx(np.std(of_folds, ddof=1), abs=1e-4)
    assert table.footnotes == []
    assert (table.marks == "").all(axis=None)


def test_iou_table_marks_an_experiment_without_results(iou: pd.DataFrame, tmp_path: Path) -> None:
    table = iou_table(iou, ["U1+MAP", "E4+Geo+MAP"], CLASSES)
    assert table.footnotes == ["ᵃ No results yet for E4+Geo+MAP."]
    rows, markdown, latex = written(tmp_path, table)
    assert [row[3] for row in rows[1:]] == ["n/a"] * 5
    assert "| Vert | **82.0** ± 2.0 | n/aᵃ |" in markdown
    assert markdown.endswith("ᵃ No results yet for E4+Geo+MAP.\n")
    assert r"n/a\textsuperscript{a} \\" in latex
    assert pd.read_csv(tmp_path / "table.csv")["E4+Geo+MAP"].isna().all()


def test_iou_table_can_be_made_before_there_is_any_result(iou: pd.DataFrame) -> None:
    table = iou_table(iou.iloc[:0], ["U1+MAP"], CLASSES)
    assert table.values["U1+MAP"].isna().all()
    assert len(table.values) == 5
    assert table.footnotes == ["ᵃ No results yet for U1+MAP."]


def test_iou_table_marks_a_missing_fold_and_averages_the_others(iou: pd.DataFrame) -> None:
    lacking = iou[~((iou["experiment"] == "U1+MAP") & (iou["fold"] == 2))]
    table = iou_table(lacking, ["U1+MAP", "E12+NAD+TH"], CLASSES, folds=[1, 2, 3])
    assert table.footnotes == ["ᵃ Without fold 2, which has no results of U1+MAP."]
    assert (table.marks["U1+MAP"] == "ᵃ").all()
    assert (table.marks["E12+NAD+TH"] == "").all()
    assert table.values["U1+MAP"][1] == pytest.approx((80 + 84) / 2)


def test_iou_table_marks_a_fold_that_no_experiment_has(iou: pd.DataFrame) -> None:
    table = iou_table(iou[iou["fold"] != 3], ["U1+MAP"], CLASSES, folds=[1, 2, 3])
    assert table.footnotes == ["ᵃ Without fold 3, which has no results of U1+MAP."]


def test_iou_table_leaves_an_absent_class_out_of_the_average_and_marks_it(iou: pd.DataFrame) -> None:
    iou.loc[(iou["experiment"] == "U1+MAP") & (iou["class_id"] == 2), "iou"] = np.nan
    table = iou_table(iou, ["U1+MAP", "E12+NAD+TH"], CLASSES)
    assert table.values["U1+MAP"].isna().tolist() == [False, False, True, False, False]
    assert table.values["U1+MAP"][3] == pytest.approx(82)
    assert table.marks["U1+MAP"].tolist() == ["", "", "ᵃ", "ᵃ", "ᵃ"]
    assert (table.marks["E12+NAD+TH"] == "").all()
    assert len(table.footnotes) == 1
    assert "Epi-Fat" in table.footnotes[0]
    assert "U1+MAP (fold 2)" in table.footnotes[0]


def test_iou_table_names_a_class_that_is_in_no_slice_once(iou: pd.DataFrame) -> None:
    iou.loc[iou["class_id"] == 2, "iou"] = np.nan
    table = iou_table(iou, ["U1+MAP", "E12+NAD+TH"], CLASSES)
    assert table.footnotes == [
        "ᵃ Epi-Fat is neither in the truth nor in the prediction of any experiment and fold of this table; such folds and "
        "classes are left out of the means."
    ]


def write(folder: Path, table: Table, caption: str = "") -> None:
    write_table(
        table,
        caption,
        csv_path=folder / "table.csv",
        md_path=folder / "table.md",
        tex_path=folder / "table.tex",
        json_path=folder / "table.json",
    )


def written(folder: Path, table: Table, caption: str = "") -> tuple[list[list[str]], str, str]:
    write(folder, table, caption)
    with (folder / "table.csv").open(newline="") as lines:
        return list(csv.reader(lines)), *((folder / f"table.{ending}").read_text("utf-8") for ending in ("md", "tex"))


def test_read_printed_returns_what_was_printed(iou: pd.DataFrame, tmp_path: Path) -> None:
    iou.loc[(iou["experiment"] == "U1+MAP") & (iou["class_id"] == 2), "iou"] = np.nan
    table = iou_table(iou, ["U1+MAP", "E12+NAD+TH", "E4+Geo+MAP"], CLASSES)
    written(tmp_path, table, "Caption.")
    found = read_printed(tmp_path / "table.json")
    assert found == print_table(table, "Caption.")
    assert found.headings == ["Class", "U1+MAP", "E12+NAD+TH", "E4+Geo+MAP"]
    assert found.rows[1][2] == Cell("87.0", best=True, deviation="2.0")


def test_write_table_stacks_the_lines_of_a_cell(tmp_path: Path) -> None:
    table = Table(pd.DataFrame({"a": ["x"]}), printed=pd.DataFrame({"a|b": ["1.0\n2.0\n−1.0"]}))
    _, markdown, latex = written(tmp_path, table)
    assert "| 1.0<br>2.0<br>−1.0 |" in markdown
    assert r"\shortstack{1.0\\2.0\\$-$1.0}" in latex
    assert "| a\\|b |" in markdown


def test_write_table_rounds_in_print_and_not_in_the_csv(iou: pd.DataFrame, tmp_path: Path) -> None:
    table = replace(iou_table(iou, ["U1+MAP", "E12+NAD+TH"], CLASSES), remark="Of 2.", footnotes=["A note."])
    rows, markdown, latex = written(tmp_path, table, "Performance.")
    assert rows[0] == ["class_id", "class_name", "U1+MAP", "E12+NAD+TH"]
    assert rows[5] == ["", "IoU with Bg.", "75.3333", "80.6667"]
    assert "| Vert | 82.0 ± 2.0 | **87.0** ± 2.0 |" in markdown
    assert "| Class | U1+MAP | E12+NAD+TH |" in markdown
    assert markdown.startswith("Performance. Of 2.\n")
    assert markdown.endswith("A note.\n")
    assert r"Vert & 82.0{\tiny$\,\pm\,$2.0} & \textbf{87.0}{\tiny$\,\pm\,$2.0} \\" in latex
    assert r"\shortstack{E12\\+NAD\\+TH}" in latex
    assert "A note." in latex


def test_write_table_makes_all_equal_best_values_bold(tmp_path: Path) -> None:
    frame = pd.DataFrame({"class_name": ["Vert"], "A": [86.14], "B": [86.06], "C": [86.0]})
    _, markdown, _ = written(tmp_path, Table(frame))
    assert "| Vert | **86.1** | **86.1** | 86.0 |" in markdown


def test_write_table_leaves_empty_cells_empty(tmp_path: Path) -> None:
    frame = pd.DataFrame({"class_name": ["Vert", "SCT"], "A": [86.14, np.nan], "B": [np.nan, np.nan]})
    rows, markdown, latex = written(tmp_path, Table(frame))
    assert rows[2] == ["SCT", "", ""]
    assert "| Vert | **86.1** |  |\n| SCT |  |  |" in markdown
    assert "SCT &  &  \\\\" in latex
    assert "nan" not in (markdown + latex).lower()


def test_write_table_makes_nothing_bold_unless_asked(tmp_path: Path) -> None:
    frame = pd.DataFrame({"quantity": ["Patients"], "Test": [33], "Total": [181]})
    _, markdown, latex = written(tmp_path, Table(frame, best_bold=False))
    assert "| Patients | 33 | 181 |" in markdown
    assert "textbf" not in latex


def test_write_table_escapes_latex(tmp_path: Path) -> None:
    frame = pd.DataFrame({"class_name": ["50 % of a_b & {c}"], "A": [1.0]})
    _, _, latex = written(tmp_path, Table(frame), "Rows × columns ± 1 #")
    assert r"50 \% of a\_b \& \{c\}" in latex
    assert r"\caption{Rows $\times$ columns $\pm$ 1 \#}" in latex


def test_write_table_writes_valid_latex(iou: pd.DataFrame, tmp_path: Path) -> None:
    _, _, latex = written(tmp_path, iou_table(iou, ["U1+MAP", "E12+NAD+TH"], CLASSES))
    for environment in ("table*", "tabular"):
        assert latex.count(f"\\begin{{{environment}}}") == latex.count(f"\\end{{{environment}}}") == 1
    body = latex[latex.index(r"\toprule") : latex.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 6
    assert {line.count("&") for line in rows} == {2}
    assert r"\begin{tabular}{lrr}" in latex
    assert latex.count("{") == latex.count("}")


def test_write_table_keeps_the_old_files_when_it_fails(tmp_path: Path) -> None:
    frame = pd.DataFrame({"class_name": ["Vert"], "A": [1.0]})
    before = written(tmp_path, Table(frame), "first")
    with pytest.raises(TypeError):
        write(tmp_path, Table(frame, footnotes=[None]))  # type: ignore[list-item]
    assert (tmp_path / "table.md").read_text("utf-8") == before[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.json", "table.md", "table.tex"]


def test_cohort_table_counts_patients_once() -> None:
    sheet = pd.DataFrame(
        {
            "participant_id": ["a", "a", "b", "c", "d"],
            "session_id": ["1", "2", "1", "1", "1"],
            "age": ["40", "41", "60", "", "n/a"],
            "weight": ["70", "", "80.5", "90", " "],
            "sex": ["F", "F", "M", "female", ""],
        }
    )
    table = cohort_table(sheet).set_index("quantity")
    assert table.loc["Age (year)", ["n", "mean", "min", "max"]].tolist() == [2, 50, 40, 60]
    assert table.loc["Age (year)", "std"] == pytest.approx(200**0.5)
    assert table.loc["Weight (kg)", ["n", "min", "max"]].tolist() == [3, 70, 90]
    assert table.loc[["Women", "Men", "Sex unknown"], "n"].tolist() == [2, 1, 1]


def test_cohort_table_accepts_a_sheet_without_demographics() -> None:
    table = cohort_table(pd.DataFrame({"participant_id": ["a", "b"]})).set_index("quantity")
    assert table.loc["Age (year)", "n"] == 0
    assert np.isnan(table.loc["Age (year)", "mean"])
    assert table.loc["Sex unknown", "n"] == 2


def test_acquisition_table_has_ranges_per_contrast_in_the_papers_units() -> None:
    fields = pd.DataFrame(
        [
            ("T1w", "RepetitionTime", 0.3), ("T1w", "RepetitionTime", 0.76438), ("T2w", "RepetitionTime", 2.0),
            ("T2w", "RepetitionTime", 10.172214), ("T2w", "EchoTrainLength", 13), ("T2w", "EchoTrainLength", "36"),
            ("T2w", "Manufacturer", "GE"), ("T1w", "Height", 512),
        ],
        columns=["contrast", "field", "value"],
    )  # fmt: skip
    table = acquisition_table(fields).set_index("parameter")
    assert list(table.index) == ["Repetition Time (ms)", "Echo Train Length", "Height (px)"]
    row = table.loc["Repetition Time (ms)"]
    assert row[["T1w min", "T1w max", "T2w min", "T2w max"]].tolist() == pytest.approx([300, 764.38, 2000, 10172.214])
    assert table.loc["Echo Train Length", "T2w n"] == 2
    assert table.loc["Echo Train Length", "T1w n"] == 0
    assert np.isnan(table.loc["Echo Train Length", "T1w min"])


def test_dataset_table_counts_subsets_and_every_patient_once() -> None:
    sessions = pd.DataFrame(
        {
            "participant_id": ["a", "a", "b", "c", "only to be segmented"],
            "session_id": ["1", "2", "1", "1", "1"],
            "slices": [10, 12, 8, 14, 9],
            "patches": [90, 108, 32, 126, 81],
        }
    )
    folds = pd.DataFrame(
        [(p, fold, "test" if p == "c" else "validation" if fold == 1 and p == "a" else "train")
         for p in "abc" for fold in (1, 2, 3)],
        columns=["participant_id", "fold", "subset"],
    )  # fmt: skip
    table = dataset_table(sessions, folds, patch_side=256)
    assert table["quantity"].tolist() == ["Patients", "Sessions", "2-D slices", "Patches 256×256"]
    assert table["Train & Validation"].tolist() == [2, 3, 30, 230]
    assert table["Test"].tolist() == [1, 1, 14, 126]
    assert table["Total"].tolist() == [3, 4, 44, 356]


def test_write_table_prints_as_many_decimals_as_numbers_have(tmp_path) -> None:
    frame = pd.DataFrame(
        {"parameter": ["Height (px)", "Pixel Spacing (mm)"], "T2w min": [320.0, 0.37037], "T2w n": [3, 3]}
    )
    _, markdown, _ = written(tmp_path, Table(frame, decimals=None, best_bold=False))
    assert "| Height (px) | 320.0 | 3 |" in markdown
    assert "| Pixel Spacing (mm) | 0.3704 | 3 |" in markdown


# ---- tables of settings, sessions and the search ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(5e-6, "0.000005"), (1e-6, "0.000001"), (0.00033, "0.00033"), (0.001, "0.001"), (1, "1.0"), (10.0, "10.0")],
)
def test_decimal_is_exact_and_without_exponent(value: float, text: str) -> None:
    assert decimal(value) == text


def test_topologies_table_prints_small_learning_rates_exactly() -> None:
    entry = {"family": "fcn8", "optimiser": "adam", "activation": "relu"}
    topologies = {"A": {**entry, "learning_rate": 5e-6}, "B": {**entry, "learning_rate": 1e-6}}
    table = topologies_table(topologies, pd.DataFrame({"topology": ["A"], "trainable_parameters": [1]}))
    assert table.values["Learning Rate"].tolist() == ["0.000005", "0.000001"]
    assert stacking_table(["NAD"], "adam", 5e-6).values["Learning Rate"][0] == "0.000005"


def test_measures_table_names_the_experiment_in_each_row_of_the_csv_and_once_in_print(tmp_path: Path) -> None:
    measured = pd.DataFrame({"experiment": ["U1+TH"] * 2, "fold": 1, "class_id": [1, 2], "iou": 0.5})
    measured = measured.assign(dice=0.8, precision=0.9, recall=0.6)
    columns = ["true_pixels", "predicted_pixels", "hausdorff_95_mm", "average_distance_mm"]
    distances = measured[["experiment", "fold", "class_id"]].assign(**dict.fromkeys(columns, 1.0))
    rows, markdown, _ = written(tmp_path, measures_table(measured, distances, ["U1+TH"], CLASSES))
    assert [row[:2] for row in rows[1:]] == [["U1+TH", "Vert"], ["U1+TH", "Epi-Fat"]]
    assert "| U1+TH | Vert | 50.0 |" in markdown
    assert "|  | Epi-Fat | 50.0 |" in markdown


def selection_row(participant: str, outcome: str, criterion: str = "") -> dict[str, str]:
    return {
        "participant_id": participant,
        "session_id": "01",
        "outcome": outcome,
        "criterion": criterion,
        "found": "",
        "expected": "",
    }


def test_selection_table_lists_unmet_criteria_and_counts_sessions() -> None:
    rows = [
        selection_row("a", "left out", "T2w Width"),
        selection_row("b", "used", "T2w noise"),
        selection_row("c", "used"),
    ]
    table = selection_table(pd.DataFrame(rows))
    assert table.values["participant_id"].tolist() == ["a", "b"]
    assert table.remark == "2 of 3 sessions with a mask are used."


def test_selection_table_has_a_row_where_all_criteria_are_met() -> None:
    table = selection_table(pd.DataFrame([selection_row("a", "used")]))
    assert table.values["criterion"].tolist() == ["all are met"]


def test_registration_table_lists_flagged_sessions() -> None:
    sessions = pd.DataFrame({"session": ["a", "b"], "engine": "itk", "degrees_of_freedom": 6, "seconds": 1.0, "flag": ["", "far"],
                             "shift_mm": [1.0, 3.0], "rotation_degrees": 0.5})  # fmt: skip
    table = registration_table(sessions)
    assert table.values["session"].tolist() == ["b"]
    assert "1 of 2 sessions are flagged" in table.remark
    assert "median shift is 2.00 mm" in table.remark
    assert registration_table(sessions[:1]).values["flag"].tolist() == ["none is flagged"]


def test_corrections_table_lists_sessions_as_drawn_with_worst_slices_and_equal_masks() -> None:
    session = {"participant_id": "007", "session_id": "01", "drafted_by": "UD+TH of starter"}
    rows = [
        {"drawn": drawn, **session, "class_id": c, "class_name": CLASSES[c].name, "iou": iou, "changed_share": changed}
        for drawn, changed, values in ((5, 0.0, (1.0, 1.0, np.nan)), (2, 0.125, (0.9, 0.8, 0.4)))
        for c, iou in enumerate(values)
    ]
    slices = [
        {"drawn": drawn, **session, "slice": number, "changed_share": changed, "mean_iou": 0.5}
        for drawn, shares in ((5, [0.0, 0.0]), (2, [0.0, 0.1, 0.4, 0.2, 0.3]))
        for number, changed in enumerate(shares)
    ]
    table = corrections_table(pd.DataFrame(rows), pd.DataFrame(slices), CLASSES)
    assert table.values["Drawn"].tolist() == [2, 5]
    assert table.values["Changed"].tolist() == [12.5, 0]
    assert table.values["IoU without Bg."].tolist() == pytest.approx([60, 100])
    assert table.values["Vert"].tolist() == [80, 100]
    assert np.isnan(table.values["Epi-Fat"][1])
    assert table.values["Worst slices"].tolist() == ["2, 4, 3", ""]
    assert table.footnotes == ["Equal to the draft: sub-007_ses-01."]


def test_search_table_states_what_to_write_to_use_the_best() -> None:
    ranked = pd.DataFrame(
        {
            "topology": "U1", "optimiser": "adam", "learning_rate": [5e-6, 0.001, 1.0], "activation": "relu", "val_accuracy": 0.7,
            "val_patch_iou": 0.35, "diverged": [False, False, True], "best": [True, False, False], "present": [False, True, False],
        }
    )  # fmt: skip
    table = search_table(ranked)
    assert table.values["Choice"].tolist() == ["best", "in the config", "diverged"]
    assert table.values["Learning rate"].tolist() == ["0.000005", "0.001", "1.0"]
    assert "{optimiser: adam, learning_rate: 0.000005, activation: relu}" in table.footnotes[0]
