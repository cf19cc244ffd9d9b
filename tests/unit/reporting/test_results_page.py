"""The page of results."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lumbarseg.reporting.results_page import PageItem, anchor, results_page
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


NETWORKS = pd.DataFrame(
    {"topology": ["U1", "UD"], "trainable_parameters": 34_586_956, "multiply_accumulates": 51_360_000_000}
)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Two tables and a few pictures."""
    folder = tmp_path_factory.mktemp("page")
    columns = {"class_id": [0, 1], "class_name": ["Background", "Vert & <co>"]}
    values = pd.DataFrame({**columns, "U1+TH": [90.04, 50], "UD+TH": [90.01, np.nan]})
    table = Table(values, sd=values.assign(**{"U1+TH": [1.0, 2.0]}), footnotes=["ᵃ A note."], missing="n/a")
    for name in ("table_A1", "table_A1_published"):
        paths = {f"{ending}_path": folder / f"{name}.{ending}" for ending in ("csv", "md", "tex", "json")}
        write_table(table, "IoU of each class.", **paths)
    pictures = {"fig_8": "Comparison", "network_UD": "Networks", "errors_UD+TH": "Errors"}
    for name in pictures:
        (folder / f"{name}.png").write_bytes(b"\x89PNG not really")
    return [
        PageItem("table", "table_A1", "Segmentation", "Table A.1", "", folder / "table_A1.json"),
        PageItem("table", "table_A1_published", "Segmentation", "Table A.1 next to the paper's values", "",
                 folder / "table_A1_published.json", below="table_A1"),
        *(PageItem("figure", name, section, f"Title of {name}", "Caption.", folder / f"{name}.png", is_one_of_many=name != "fig_8")
          for name, section in pictures.items()),
    ]  # fmt: skip


def render(items, **changes):
    given = {
        "ranking": RANKING,
        "worst_cases": WORST,
        "networks": NETWORKS,
        "settings": {"Patches": "96 × 96"},
    } | changes
    return results_page("demo", items, **given)


@pytest.fixture(scope="module")
def page(items):
    return render(items)


def section(page, name):
    return re.search(rf'<h2 id="{name}">(.*?)(?=<h2|<script)', page, re.DOTALL).group(1)


def test_results_page_shows_each_item_in_its_section(page):
    assert re.findall(r"<h3[^>]*>(Table.*?)</h3>", section(page, "Segmentation")) == ["Table A.1"]
    assert "<summary>Table A.1 next to the paper&#39;s values</summary>" in section(page, "Segmentation")
    assert "<strong>Title of fig_8.</strong> Caption." in section(page, "Comparison")
    assert "Title of errors_UD+TH" in section(page, "Errors")


def test_results_page_describes_networks(page):
    networks = section(page, "Networks")
    assert networks.count("<details") == 1
    assert "34,586,956 trainable parameters, 51.4 G multiply–accumulates" in networks


def test_results_page_starts_with_the_best_experiment_and_its_stability(page):
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.DOTALL).group(1)
    assert "<strong>UD+TH</strong>" in lead
    assert "60.0 %" in lead
    assert "87 % of the cohorts" in lead


def test_results_page_prints_cells_as_tables_do(page):
    assert page.count('<td class="number best">90.0<') == 4  # in the table and next to the paper's values
    assert '<td class="number best">50.0<span class="sd"> ± 2.0</span>' in page
    assert '<td class="number">n/a</td>' in page
    assert "ᵃ A note." in page
    assert "IoU of each class." in page


def test_results_page_links_experiments_to_worst_cases_and_error_maps(page):
    assert page.count('<a href="#worst-UD-TH">') >= 2
    row = re.search(r'<tbody id="worst-UD-TH">(.*?)</tbody>', page, re.DOTALL).group(1)
    assert '<a href="#errors_UD-TH">' in row
    assert "<td>007</td>" in row
    assert "12.3" in row
    for target in set(re.findall(r'href="#([^"]+)"', page)):
        assert f'id="{target}"' in page, target


def test_results_page_lists_settings_that_differ_from_the_papers(page, items):
    assert "Every setting that changes a result has the paper's value" in page
    text = render(items, differences_from=[("training.epochs", "6", "300")])
    assert "<td>training.epochs</td><td>6</td><td>300</td>" in text
    assert "Every setting" not in text


def test_results_page_escapes_names_and_fetches_nothing(page):
    assert "Vert &amp; &lt;co&gt;" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_results_page_embeds_large_pictures_as_webp(items, tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (600, 900, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "fig_7.png")
    text = render([*items, PageItem("figure", "fig_7", "Segmentation", "Figure 7", "", tmp_path / "fig_7.png")])
    assert "data:image/webp;base64," in text
    assert len(text) < (tmp_path / "fig_7.png").stat().st_size


def test_results_page_can_be_rendered_without_results(items):
    empty = RANKING.assign(mean_iou=float("nan"))
    assert 'class="lead"' not in render(items, ranking=empty, worst_cases=WORST.iloc[:0])


def test_anchor_replaces_plus_signs():
    assert anchor("E12+NAD+TH") == "E12-NAD-TH"
