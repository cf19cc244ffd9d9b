"""What the paper prints, through the code that makes our own tables."""

import csv

import numpy as np
import pandas as pd
import pytest
import yaml

from factories.workflow import ROOT
from lumbarseg.config import published
from lumbarseg.config.study import Study
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.tables.comparison import measures_table, ranking_table, wilcoxon_table
from lumbarseg.reporting.tables.iou import iou_table, published_companion
from lumbarseg.reporting.tables.settings import ensembles_table, stacking_table, topologies_table
from lumbarseg.reporting.tables.writing import print_table

PAPER = Study(yaml.safe_load((ROOT / "config.yaml").read_text()))
CLASSES = LabelTable(PAPER.as_dict()["classes"])
NAMES = sorted({table for table, _, _ in published.cells()})
AVERAGES = ("IoU without Bg.", "IoU with Bg.")


def printed_experiments(table: str) -> list[str]:
    return list(dict.fromkeys(experiment for name, experiment, _ in published.cells() if name == table))


def as_results(table: str) -> pd.DataFrame:
    """The paper's class rows as if they were the metrics of a study with one fold."""
    rows = [
        (experiment, 1, CLASSES.names.index(row), row, value / 100)
        for (name, experiment, row), value in published.cells().items()
        if name == table and row not in AVERAGES
    ]
    return pd.DataFrame(rows, columns=["experiment", "fold", "class_id", "class_name", "iou"])


def test_the_papers_classes_are_those_of_the_config() -> None:
    assert published.class_names() == CLASSES.names


@pytest.mark.parametrize("name", NAMES)
def test_the_config_asks_for_the_columns_the_paper_prints(name: str) -> None:
    assert sorted(PAPER.columns(PAPER.config.tables[name])) == sorted(printed_experiments(name))


@pytest.mark.parametrize("name", NAMES)
def test_published_tables_come_out_cell_by_cell_and_their_averages_follow_from_their_rows(name: str) -> None:
    table = iou_table(as_results(name), printed_experiments(name), CLASSES)
    assert table.footnotes == []
    cells = table.values.set_index("class_name")
    for (where, experiment, row), value in published.cells().items():
        if where != name:
            continue
        found = cells.loc[row, experiment]
        if (name, experiment, row) == ("table_C8", "E7+TCD+MAP", "IoU with Bg."):
            assert (value, round(found, 2)) == (75.7, 75.97)
        else:
            assert found == pytest.approx(value, abs=0.1 if row in AVERAGES else 1e-6), (experiment, row)


def test_every_slip_is_a_cell_the_paper_prints() -> None:
    assert set(published.ERRATA) <= set(published.cells())
    assert published.cells()["table_7", "UMD+TH", "Vert"] == 86.3
    assert published.cells()["table_A2", "UMD+TH", "Vert"] == 86.5


def test_umd_does_not_beat_u1_in_rper_fat_and_th_not_map_in_one_cell_as_the_readings_say() -> None:
    cells = {
        (experiment, row): value
        for (name, experiment, row), value in published.cells().items()
        if name.startswith("table_A")
    }
    names = [name for name in CLASSES.names if name != "Background"]
    assert [row for row in names if cells["UMD+MAP", row] <= cells["U1+MAP", row]] == ["Rper-Fat"]
    networks = {experiment.split("+")[0] for experiment, _ in cells}
    worse = [(n, row) for n in networks for row in names if cells[f"{n}+TH", row] < cells[f"{n}+MAP", row]]
    assert worse == [("FCN", "Rper-Fat")]


def test_a_companion_has_ours_the_papers_and_the_difference() -> None:
    ours = as_results("table_7")
    ours.loc[(ours["experiment"] == "UMD+TH") & (ours["class_name"] == "Vert"), "iou"] += 0.01
    companion = published_companion(iou_table(ours, ["UMD+TH", "E12+NAD+TH"], CLASSES), "table_7")
    assert list(companion.values.columns)[2:5] == ["UMD+TH", "UMD+TH published", "UMD+TH difference"]
    row = companion.values.set_index("class_name").loc["Vert"]
    assert row[["UMD+TH", "UMD+TH published", "UMD+TH difference"]].tolist() == pytest.approx([87.3, 86.3, 1.0])
    assert companion.printed.set_index("class_name").loc["Vert", "UMD+TH"] == "87.3\n86.3\n+1.0"
    assert any("86.5 in Table A.2" in note for note in companion.footnotes)


def test_an_experiment_the_paper_does_not_have_says_so_and_one_of_another_table_is_found_there() -> None:
    ours = pd.concat(
        [as_results("table_A2"), as_results("table_A2").assign(experiment="E3+Geo+TH").drop_duplicates("class_id")]
    )
    companion = published_companion(iou_table(ours, ["E3+Geo+TH", "UDD+TH"], CLASSES), "table_7")
    assert companion.printed["E3+Geo+TH"].str.contains("\nn/a\nn/a").all()
    assert companion.values["UDD+TH difference"].iloc[:12].abs().max() < 1e-6
    assert "The paper prints no values of E3+Geo+TH." in companion.footnotes


TABLE_4 = """UDD2;U-Net + DS.v3 + DS.v2;Adam;0.00033;ReLU
UMDD;U-Net + multi-kernel + DS.v3 + DS.v1;Adam;0.00033;ReLU
UDD;U-Net + DS.v3 + DS.v1;Adam;0.00033;ReLU
UQD;U-Net + DenseBlock + DS.v3;Adam;0.00033;ReLU
UVDD;U-Net + VGG16 + DS.v3 + DS.v1;Adam;0.00033;PReLU
UVMD;U-Net + VGG16 + multi-kernel + DS.v3;Adam;0.00033;ReLU
UAMD;U-Net + attGate + multi-kernel + DS.v3;Adam;0.00033;ReLU
UMD;U-Net + multi-kernel + DS.v3;Adam;0.00033;ReLU
UAD;U-Net + attGate + DS.v3;RMSprop;0.001;ReLU
UD;U-Net + DS.v3;Adam;0.00033;ReLU
UA;U-Net + attGate;Adam;0.00033;ReLU
U1;U-Net;Adadelta;1.0;ReLU
FCN;FCN8;Adam;0.00033;ReLU"""


def test_table_4_comes_out_of_the_config_as_the_paper_prints_it() -> None:
    networks = pd.DataFrame({"topology": ["U1"], "trainable_parameters": [34_525_260]})
    table = topologies_table({name: PAPER.topology(name) for name in PAPER.networks}, networks)
    assert [";".join(row) for row in table.values.iloc[:, :5].to_numpy()] == TABLE_4.splitlines()
    assert table.values.set_index("ID")["Parameters"].loc[["U1", "FCN"]].tolist() == ["34,525,260", ""]


def test_table_5_and_6_come_out_of_the_config() -> None:
    table = ensembles_table(PAPER.ensembles).values
    assert table.iloc[0].tolist() == ["E4", "UAD UMD UQD UDD"]
    assert len(table) == 10
    meta_learners = stacking_table(PAPER.stacking_combiners, "adam", 0.00033).values.set_index("Stacking model ID")
    assert meta_learners.loc["NAD"].tolist() == ["Normalised", "Average", "Dense Layer", "Adam", "0.00033"]
    assert meta_learners.loc["TCD"].tolist() == ["Tensor", "Concatenate", "Dense Layer", "Adam", "0.00033"]
    assert len(stacking_table([], "adam", 0.00033).values) == 0


def test_measures_are_means_over_folds_with_the_slices_that_went_in() -> None:
    classes = LabelTable([{"id": c, "name": n, "colour": "#123456"} for c, n in enumerate(("Background", "Vert"))])
    iou = pd.DataFrame({"experiment": "U1+TH", "fold": [1, 2], "class_id": 1, "iou": [0.5, 0.7]})
    iou = iou.assign(dice=0.8, precision=0.9, recall=[0.6, 0.8])
    distances = pd.DataFrame(
        {
            "experiment": "U1+TH", "fold": [1, 1, 2, 2], "class_id": 1, "true_pixels": [5, 0, 5, 0],
            "predicted_pixels": [5, 0, 0, 3], "hausdorff_95_mm": [1.0, np.nan, 30.0, 32.0], "average_distance_mm": [0.5, np.nan, 30, 32],
        }
    )  # fmt: skip
    table = measures_table(iou, distances, ["U1+TH"], classes)
    row = table.values.iloc[0]
    assert row[["IoU (%)", "Dice (%)", "Recall (%)"]].tolist() == pytest.approx([60, 80, 70])
    assert row["HD95 (mm)"] == pytest.approx((1 + 31) / 2)
    assert row[["Slices", "Missed", "False"]].tolist() == [3, 1, 1]
    assert table.sd["IoU (%)"].iloc[0] == pytest.approx(np.std([50, 70], ddof=1))
    assert print_table(measures_table(iou, distances, ["E3+TH"], classes), "").rows[0][2].text == "n/a"


def test_a_comparison_prints_difference_interval_both_p_and_n_and_what_was_not_tested() -> None:
    classes = LabelTable([{"id": c, "name": f"tissue {c}", "colour": "#123456"} for c in range(3)])
    rows = pd.DataFrame(
        {
            "reference": "R", "experiment": "A", "class_id": [0, 1, 2], "unit": "slice", "n": [396, 4, 0],
            "median_difference": [0.004, -0.01, np.nan], "p_value": [1e-9, np.nan, np.nan], "p_holm": [0.0312, np.nan, np.nan],
            "interval_low": [0.001, -0.02, np.nan], "interval_high": [0.007, 0.0, np.nan],
        }
    )  # fmt: skip
    table = wilcoxon_table(rows, ["R", "A", "never run"], classes, "slice")
    assert list(table.printed.columns) == ["class_name", "A"]
    assert table.printed["A"].tolist() == [
        "+0.4 [+0.1, +0.7]\np < 0.001, Holm 0.031\nn = 396",
        "−1.0 [−2.0, +0.0]\nnot tested\nn = 4",
        "n/a",
    ]


def test_the_ranking_prints_the_best_and_says_how_many_there_are() -> None:
    ranking = pd.DataFrame(
        {
            "rank": [1, 2], "experiment": ["A", "B"], "mean_iou": [0.7, 0.6], "sd": [0.01, 0.02], "folds": 3, "rank_low": [1, 1],
            "rank_high": [1, 2], "first_share": [0.9, 0.1], "best_ten_share": 1.0, "best_fold_rank": 1, "worst_fold_rank": [1, 2],
        }
    )  # fmt: skip
    table = ranking_table(ranking, most=1)
    assert "1 of 2 experiments" in table.remark
    texts = [cell.text for cell in print_table(table, "").rows[0]]
    assert texts == ["1", "A", "70.0", "1", "90.0", "100.0", "1"]
    assert print_table(ranking_table(ranking), "").rows[1][3].text == "1 to 2"


def test_the_files_of_published_values_are_plain_tables_with_their_source_beside() -> None:
    home = ROOT / "workflow_scripts/lumbarseg/config/published"
    with (home / "iou.csv").open() as lines:
        assert len(list(csv.DictReader(lines))) == 97 * 12
    assert "Sáenz-Gamboa" in (home / "SOURCE.md").read_text()
