"""What the rules of figures, tables and the page take and make."""

import re

import pytest

from factories.reporting import report_study
from factories.workflow import ROOT
from lumbarseg.errors import InputError
from lumbarseg.workflow.paths import Paths
from lumbarseg.workflow.report import Report


@pytest.fixture(scope="module")
def report():
    return Report(report_study(), Paths("s"))


def wildcards(**values):
    return values


def test_report_lists_every_format_of_the_studys_figures_and_tables(report):
    assert {"results/s/figures/fig_8.svg", "results/s/figures/fig_8.png"} <= set(report.all_figures)
    tables = {f"results/s/tables/table_A1.{ending}" for ending in ("csv", "md", "tex")}
    assert tables <= set(report.all_tables)
    assert not [path for path in [*report.all_figures, *report.all_tables] if "search" in path]


def test_report_inputs_are_the_modules_and_metrics_of_one_figure(report):
    inputs = report.inputs("figure")(wildcards(figure="ranking"))
    modules = {path.rpartition("reporting/")[2] for path in inputs.pop("modules")}
    assert {"figures/ranking.py", "figures/style.py", "registry.py"} <= modules
    assert not modules & {"figures/box_plots.py", "contents.py", "tables/writing.py", "results_page.py"}
    assert inputs == {"ranking": "results/s/metrics/ranking.csv"}


def test_report_parameters_are_those_of_one_figure(report):
    assert report.parameter("figure", "settings")(wildcards(figure="ranking")) == {}
    settings = report.parameter("figure", "settings")(wildcards(figure="fig_9"))
    assert settings["ensemble_sizes"] == {"E2": 2, "E3": 3}
    assert report.parameter("figure", "function")(wildcards(figure="fig_9")).endswith("ensembles.figure_9")


def test_report_shows_uncertainty_only_if_the_config_asks_for_it(report):
    without = Report(report_study(uncertainty={"experiment": None}), Paths("s"))
    assert {path for path in report.all_figures if "uncertainty" in path} == set(report.all_figures) - set(
        without.all_figures
    )
    assert len(report.all_figures) == len(without.all_figures) + 2


def test_report_marks_files_with_category_and_labels(report):
    marks = report.in_report("table", "CSV")
    assert marks["category"](wildcards(table="table_A1")) == "Segmentation"
    assert marks["labels"](wildcards(table="table_A1")) == {"table": "Table A.1", "format": "CSV"}


def test_report_page_items_have_a_file_each(report):
    shown = {item["name"]: file for item, file in zip(report.page_items, report.page_files, strict=True)}
    assert shown["fig_8"] == "results/s/figures/fig_8.png"
    assert shown["table_A1_published"] == "results/s/tables/table_A1_published.json"


@pytest.mark.parametrize(("kind", "name"), [("figure", "fig_99"), ("table", "table_Z1")])
def test_report_refuses_what_the_study_does_not_have(report, kind, name):
    with pytest.raises(InputError, match=f"{kind}s/{name}: this study has no such {kind}; choose one of "):
        report.inputs(kind)(wildcards(**{kind: name}))


def test_rules_name_no_figure_or_table_but_those_of_targets_of_their_own():
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert set(re.findall(r"\b(?:fig|table)_\w+", rules)) <= {
        "table_corrections",
        "table_search",
        "table_registration",
        "table_selection",
    }
