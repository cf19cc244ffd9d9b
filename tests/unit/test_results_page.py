"""The page of results."""

import re

import pandas as pd

from lumbarseg.results_page import results_page


def page(tmp_path, averages=None):
    table = tmp_path / "table_A1.csv"
    table.write_text(
        "class_id,class_name,U1+TH,UD+TH\n0,Background,90.04,90.01\n1,Vert & <co>,50.0,\n,IoU without Bg.,50.0,\n"
    )
    figure = tmp_path / "fig_8.png"
    figure.write_bytes(b"\x89PNG not really")
    if averages is None:
        averages = pd.DataFrame(
            {"experiment": ["U1+TH", "UD+TH"], "mean": [0.5, 0.6], "sd": [0.01, float("nan")], "folds": [3, 3]}
        )
    diagram = tmp_path / "network_UD.png"
    diagram.write_bytes(b"\x89PNG neither")
    networks = pd.DataFrame(
        {"topology": ["U1", "UD"], "trainable_parameters": 34_586_956, "multiply_accumulates": 51_360_000_000}
    )
    return results_page("demo", averages, networks, [table], [figure, diagram], {"Patches": "96 × 96"})


def test_networks_that_were_drawn_stand_in_a_section_of_their_own(tmp_path):
    before, _, section = page(tmp_path).partition('id="Networks"')
    assert 'id="network_UD"' not in before
    assert section.count("<details") == 1
    assert "<strong>UD</strong>: 34,586,956 trainable parameters" in section
    assert "51.4 G multiply–accumulates" in section


def test_the_best_experiment_stands_at_the_top(tmp_path):
    lead = re.search(r'<p class="lead">(.*?)</p>', page(tmp_path), re.DOTALL).group(1)
    assert "<strong>UD+TH</strong>" in lead
    assert "60.0 %" in lead


def test_cells_print_one_decimal_and_all_that_print_the_best_are_bold(tmp_path):
    text = page(tmp_path)
    assert text.count('<td class="best">90.0</td>') == 2
    assert '<td class="best">50.0</td>' in text
    assert "Table A.1" in text


def test_names_are_escaped_and_nothing_is_fetched_from_elsewhere(tmp_path):
    text = page(tmp_path)
    assert "Vert &amp; &lt;co&gt;" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_a_study_without_results_still_has_a_page(tmp_path):
    empty = pd.DataFrame({"experiment": ["U1+TH"], "mean": [float("nan")], "sd": [float("nan")], "folds": [0]})
    assert 'class="lead"' not in page(tmp_path, empty)
