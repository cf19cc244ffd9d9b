"""The page of results."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lumbarseg.reporting.results_page import anchor, results_page
from lumbarseg.reporting.tables.writing import Table, write_table

RANKING = pd.DataFrame(
    {
        "rank": [1, 2], "experiment": ["UD+TH", "U1+TH"], "mean_iou": [0.6, 0.5], "sd": [float("nan"), 0.01], "folds": 3,
        "first_share": [0.87, 0.13],
    }
)  # fmt: skip
WORST = pd.DataFrame(
    {
        "experiment": ["UD+TH", "U1+TH"], "fold": [2, 1], "participant_id": ["007", "p2"], "session_id": "01", "slice": [4, 0],
        "mean_iou": [0.123, 0.2], "worst_class": "Vert & <co>", "worst_iou": 0.0,
    }
)  # fmt: skip


@pytest.fixture
def page(tmp_path):
    """A function that makes a page of two tables and a few pictures, with changes."""
    values = pd.DataFrame(
        {
            "class_id": [0, 1],
            "class_name": ["Background", "Vert & <co>"],
            "U1+TH": [90.04, 50],
            "UD+TH": [90.01, np.nan],
        }
    )
    table = Table(values, "IoU.", sd=values.assign(**{"U1+TH": [1.0, 2.0]}), footnotes=["ᵃ A note."], missing="n/a")
    for name in ("table_A1", "table_A1_published"):
        write_table(table, *(tmp_path / f"{name}.{ending}" for ending in ("csv", "md", "tex")))
    for name in ("fig_8", "network_UD", "errors_UD+TH", "something_new"):
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG not really")
    networks = pd.DataFrame(
        {"topology": ["U1", "UD"], "trainable_parameters": 34_586_956, "multiply_accumulates": 51_360_000_000}
    )

    def make(**changes):
        tables, figures = sorted(tmp_path.glob("*.md")), sorted(tmp_path.glob("*.png"))
        given = {"ranking": RANKING, "worst_cases": WORST, "settings": {"Patches": "96 × 96"}} | changes
        return results_page("demo", networks=networks, tables=tables, figures=figures, **given)

    return make


def test_networks_that_were_drawn_stand_in_a_section_of_their_own(page):
    before, _, section = page().partition('<h2 id="Networks">')
    assert 'id="network_UD"' not in before
    assert section.count("<details") == 1
    assert "<strong>UD</strong>: 34,586,956 trainable parameters" in section
    assert "51.4 G multiply–accumulates" in section


def test_the_best_experiment_stands_at_the_top_with_how_stable_that_is(page):
    lead = re.search(r'<p class="lead">(.*?)</p>', page(), re.DOTALL).group(1)
    assert "<strong>UD+TH</strong>" in lead
    assert "60.0 %" in lead
    assert "87 % of the cohorts" in lead


def test_cells_are_printed_as_in_the_paper_and_all_that_print_the_best_are_bold(page):
    text = page()
    assert text.count('<td class="number best">90.0<') == 4  # in the table and beside the paper's values
    assert '<td class="number best">50.0<span class="sd"> ± 2.0</span>' in text
    assert '<td class="number">n/a</td>' in text
    assert "<h3>Table A.1</h3>" in text
    assert "<summary>Table A.1 beside the paper&#39;s values</summary>" in text
    assert "ᵃ A note." in text


def test_an_experiments_name_leads_to_its_worst_cases_and_these_to_its_error_map(page):
    text = page()
    assert text.count('<a href="#worst-UD-TH">') >= 2
    row = re.search(r'<tbody id="worst-UD-TH">(.*?)</tbody>', text, re.DOTALL).group(1)
    assert '<a href="#errors_UD-TH">' in row
    assert "<td>007</td>" in row
    assert "12.3" in row
    for target in set(re.findall(r'href="#([^"]+)"', text)):
        assert f'id="{target}"' in text, target


def test_a_figure_without_a_place_of_its_own_still_stands_on_the_page(page):
    section = page().partition('<h2 id="Further-figures">')[2]
    assert 'id="something_new"' in section


def test_settings_that_differ_from_the_papers_are_listed_and_none_is_said(page):
    assert "Every setting that changes a result is that of the paper" in page()
    text = page(differences_from=[("training.epochs", "6", "300")])
    assert "<td>training.epochs</td><td>6</td><td>300</td>" in text
    assert "Every setting" not in text


def test_names_are_escaped_and_nothing_is_fetched_from_elsewhere(page):
    text = page()
    assert "Vert &amp; &lt;co&gt;" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_large_pictures_are_embedded_in_a_smaller_format_that_looks_the_same(page, tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (600, 900, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "fig_7.png")
    text = page()
    assert "data:image/webp;base64," in text
    assert len(text) < (tmp_path / "fig_7.png").stat().st_size


def test_a_study_without_results_still_has_a_page(page):
    empty = RANKING.assign(mean_iou=float("nan"))
    assert 'class="lead"' not in page(ranking=empty, worst_cases=WORST.iloc[:0])


def test_a_name_becomes_an_anchor():
    assert anchor("E12+NAD+TH") == "E12-NAD-TH"
