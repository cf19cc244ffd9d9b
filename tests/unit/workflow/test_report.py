"""Figures and tables of a run as the rules ask for them."""

import re
from pathlib import Path

import pytest

from factories.workflow import ROOT, plan_of
from lumbarseg.errors import InputError
from lumbarseg.workflow.report import Report


class Wildcards(dict):
    """What Snakemake gives to an input function."""

    __getattr__ = dict.__getitem__


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        plan = plan_of()
        return Report(plan.study, plan.paths)


def names(paths):
    """Stems of files, each once, in their order."""
    return list(dict.fromkeys(Path(path).stem for path in paths))


def modules(shown, kind, name):
    """The library files that a figure or table depends on, relative to the library."""
    files = shown.inputs(kind)(Wildcards({kind: name}))["modules"]
    return {path.partition("lumbarseg/")[2] for path in files}


def test_figures_and_tables_of_a_study_are_those_of_the_contracts(shown):
    assert {"table_1", "table_2", "table_3", "table_4", "table_5", "table_6", "table_7"} <= set(names(shown.all_tables))
    assert {"fig_2", "fig_3", "fig_7", "fig_8", "fig_9"} <= set(names(shown.all_figures))
    assert {Path(path).suffix for path in shown.all_figures} == {".svg", ".png"}
    assert {Path(path).suffix for path in shown.all_tables} == {".csv", ".md", ".tex"}


def test_figures_show_uncertainty_only_if_the_config_asks_for_it(shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_of(uncertainty={"experiment": None})
    assert set(names(shown.all_figures)) - set(names(Report(plan.study, plan.paths).all_figures)) == {"uncertainty"}


def test_every_figure_and_table_has_inputs_a_section_and_a_caption(shown):
    for kind in ("figure", "table"):
        for name in names(getattr(shown, f"all_{kind}s")):
            wildcards = Wildcards({kind: name})
            assert shown.parameter(kind, "section")(wildcards)
            assert len(shown.parameter(kind, "caption")(wildcards)) > 20
            assert set(shown.parameter(kind, "parameters_of_files")(wildcards)) <= set(shown.inputs(kind)(wildcards))


def test_inputs_of_a_figure_are_its_module_and_what_that_imports(shown):
    box_plots = modules(shown, "figure", "fig_8")
    assert {"reporting/figures/box_plots.py", "reporting/figures/style.py", "evaluation/metrics.py"} <= box_plots
    assert "reporting/figures/ensembles.py" not in box_plots
    assert not [path for path in box_plots if path.startswith(("training/", "models/", "inference/"))]


def test_entry_of_an_unknown_figure_names_those_there_are(shown):
    with pytest.raises(InputError, match=r"figures/fig_99: this study has no such figure; choose one of .*fig_8"):
        shown.inputs("figure")(Wildcards(figure="fig_99"))


def test_page_has_a_file_for_each_item_in_its_order(shown):
    items, files = shown.page_items, shown.page_files
    assert len(items) == len(files) == len(names(shown.all_figures)) + len(names(shown.all_tables))
    assert [Path(path).stem for path in files] == [item["name"] for item in items]


def test_rules_name_no_figure_or_table():
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert set(re.findall(r"\b(?:fig|table)_\w+", rules)) <= {"table_search", "table_registration", "table_selection"}
