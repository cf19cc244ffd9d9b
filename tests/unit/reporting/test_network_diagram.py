"""The picture of a network's blocks."""

import itertools

import pandas as pd
import pytest

from factories.networks import narrow, shared
from lumbarseg.config.topology import TOPOLOGY_CHOICES
from lumbarseg.models.graph import block_graph
from lumbarseg.reporting.figures.networks import network_diagram

KEYS = ("input", "encoder", "decoder", "skip", "output")


def entries_with_every_pair_of_choices():
    """A few entries in which every choice of a key is combined with every choice of every other key."""
    every = [dict(zip(KEYS, values, strict=True)) for values in itertools.product(*(TOPOLOGY_CHOICES[k] for k in KEYS))]

    def pairs(entry):
        return set(itertools.combinations(entry.items(), 2))

    missing = set().union(*map(pairs, every))
    while missing:
        entry = max(every, key=lambda entry: len(pairs(entry) & missing))
        missing -= pairs(entry)
        yield entry


def test_network_diagram_draws_every_pair_of_choices():
    for entry in entries_with_every_pair_of_choices():
        graph = block_graph(narrow("U1", side=16, base_filters=1, **entry))
        texts = [text.get_text() for text in network_diagram(graph).axes[0].texts]
        assert len([text for text in texts if text]) == len(graph), entry


@pytest.mark.parametrize("name", ["UAMD", "UDD", "UQD", "FCN"])
def test_network_diagram_keeps_words_in_boxes_and_arrows_outside(name):
    figure = network_diagram(block_graph(shared(name)))
    figure.canvas.draw()
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if type(patch).__name__ == "FancyBboxPatch"]
    words = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
    for box, word in zip(boxes, words, strict=True):
        assert box.x0 <= word.x0 and word.x1 <= box.x1 and box.y0 <= word.y0 and word.y1 <= box.y1
    for line in axes.lines:
        corners = axes.transData.transform(line.get_xydata())
        for (x0, y0), (x1, y1) in itertools.pairwise(corners):
            for box in boxes:
                apart = (
                    max(x0, x1) <= box.x0 + 1 or min(x0, x1) >= box.x1 - 1 or max(y0, y1) <= box.y0 + 1 or min(y0, y1) >= box.y1 - 1
                )  # fmt: skip
                assert apart, (name, line.get_xydata().tolist())


def test_network_diagram_of_the_file_equals_that_of_the_model(tmp_path):
    graph = block_graph(shared("UMDD"))
    graph.to_csv(tmp_path / "blocks.csv", index=False)
    read = pd.read_csv(tmp_path / "blocks.csv", keep_default_na=False)
    texts = [[text.get_text() for text in network_diagram(one).axes[0].texts] for one in (graph, read)]
    assert texts[0] == texts[1]
