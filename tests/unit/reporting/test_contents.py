"""Which figures and tables a study has."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from factories.reporting import report_study
from lumbarseg.errors import InputError
from lumbarseg.reporting.contents import Entry, ReportSettings, contents, page_settings, report_settings, title_of
from lumbarseg.reporting.registry import Declaration, declarations, make
from lumbarseg.reporting.tables.writing import print_table

ENTRIES = contents(report_settings(report_study()))
TABLES = [one for one in ENTRIES if one.kind == "table"]
CONTRACT = {
    *(f"table_{number}" for number in (*range(1, 7), 7, "A1")),
    *(f"fig_{number}" for number in (2, 3, 7, 8, 9)),
}


def entry(name: str) -> Entry:
    return next(one for one in ENTRIES if one.name == name)


@pytest.fixture(scope="module")
def settings() -> ReportSettings:
    return report_settings(report_study())


def names(settings: ReportSettings) -> set[str]:
    return {one.name for one in contents(settings)}


def test_contents_has_the_papers_tables_and_figures() -> None:
    assert {one.name for one in ENTRIES} >= CONTRACT


@pytest.mark.parametrize("one", TABLES, ids=[one.name for one in TABLES])
def test_declared_tables_are_made_from_metrics(one: Entry, results: Path) -> None:
    table = make(one.function, {name: str(results / path) for name, path in one.files.items()}, one.settings)
    assert print_table(table, one.caption).rows


def test_contents_fills_in_names_titles_and_captions() -> None:
    for one in ENTRIES:
        assert "{" not in one.name + one.title + one.caption + one.below
        assert one.caption.endswith(".")


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"shown": [], "shown_models": [], "threshold_models": []},
         {"fig_7", "errors_U1+TH", "errors_E3+TCD+TH", "calibration", "threshold_curves"}),
        ({"threshold_models": []}, {"threshold_curves"}),
        ({"compared": []}, {"fig_8"}),
        ({"measured": []}, {"table_measures", "patients", "confusion"}),
        ({"uncertain": ""}, {"uncertainty"}),
        ({"with_t1w": False}, {"registration", "table_registration"}),
        ({"ensembles": {}}, {"fig_9"}),
        ({"published_columns": {}}, {"table_7_published", "table_A1_published"}),
        ({"networks": ["U1"]}, {"network_UMD", "network_FCN"}),
    ],
)  # fmt: skip
def test_contents_leaves_out_what_the_study_does_not_have(settings: ReportSettings, changes: dict, lost: set) -> None:
    assert names(settings) - names(replace(settings, **changes)) == lost


@pytest.mark.parametrize("name", ["table_4", "table_ranking", "table_usage", "table_registration", "table_selection"])
def test_contents_refuses_a_table_of_the_config_with_the_name_of_one_of_the_workflows(settings, name: str) -> None:
    with pytest.raises(InputError, match=rf"^config: `tables\.{name}` is the name of a table .*; rename it$"):
        contents(replace(settings, columns={**settings.columns, name: ["U1+TH"]}))


def test_contents_passes_only_the_settings_that_a_function_takes() -> None:
    assert set(entry("fig_9").settings) == {"labels", "ensemble_sizes"}
    assert entry("fig_9").files == {"iou": "metrics/iou.csv"}
    assert entry("ranking").settings == {}
    assert entry("table_A1").settings["columns"] == ["U1+MAP", "UMD+MAP", "FCN+MAP"]
    assert entry("errors_U1+TH").files == {"worst": "metrics/slices/worst_U1+TH.npz"}
    assert entry("errors_U1+TH").settings["experiment"] == "U1+TH"


def test_contents_puts_a_published_table_below_its_own() -> None:
    published = entry("table_A1_published")
    assert published.below == "table_A1"
    assert published.title == "Table A.1 next to the paper's values"


def test_contents_keeps_search_and_corrections_out_of_the_study() -> None:
    names = {"search", "table_search", "corrections", "table_corrections"}
    assert {one.name for one in ENTRIES if not one.of_study} == names


@pytest.mark.parametrize(
    "mistake", [{"parameters": ("iou", "epochs")}, {"when": "epochs"}, {"for_each": "epochs", "name": "fig_{epoch}"}]
)
def test_contents_refuses_an_unknown_setting(settings: ReportSettings, mistake: dict) -> None:
    declared = Declaration(
        "figure", "fig_10", "Data", "Caption.", needs={"iou": "metrics/iou.csv"}, file=Path("new.py")
    )
    with pytest.raises(InputError, match=r"new.py: figure `fig_.*asks for `epochs`.*the settings are labels, channels"):
        contents(settings, [replace(declared, **mistake)])


def test_report_settings_expand_entries_and_leave_out_tables_set_to_null() -> None:
    tables = {"table_7": ["ensembles+NAD+TH"], "table_A1": None}
    settings = report_settings(report_study(tables=tables, labellings=["MAP", "TH"]))
    assert settings.columns["table_7"] == ["E2+NAD+TH", "E3+NAD+TH"]
    assert "table_A1" not in settings.columns
    assert settings.shown_models == settings.threshold_models == ["U1", "E3+TCD"]


def test_report_settings_compare_only_the_papers_classes_with_the_paper() -> None:
    classes = report_study().as_dict()["classes"]
    renamed = [{**classes[0], "name": "Air"}, *classes[1:]]
    assert report_settings(report_study(classes=renamed)).published_columns == {}


def test_declarations_use_every_setting(settings: ReportSettings) -> None:
    used = {name for one in declarations() for name in (*one.parameters, one.when, one.for_each)}
    assert set(vars(settings)) <= used


@pytest.mark.parametrize(
    ("name", "title"),
    [("fig_8", "Figure 8"), ("table_7", "Table 7"), ("table_A1", "Table A.1"), ("table_mine", "Table mine")],
)
def test_title_of_is_the_papers_number(name: str, title: str) -> None:
    assert title_of(name) == title


def test_page_settings_describe_the_study() -> None:
    settings = page_settings(report_study())
    assert settings["Ensembles"] == "E2: U1 UMD; E3: U1 UMD FCN"
    assert re.search(r"U1, UMD, FCN; m = 64, 300 epochs", settings["Networks"])
    assert page_settings(report_study(channels=["T2w"]))["Registration"] == "none, one contrast"
