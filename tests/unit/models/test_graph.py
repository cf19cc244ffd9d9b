"""The blocks that a built network is drawn from, and their picture."""

import itertools

import keras
import pandas as pd
import pytest

from factories.networks import TOPOLOGIES, narrow, shared
from lumbarseg.config.topology import TOPOLOGY_CHOICES
from lumbarseg.models.build import count_parameters, multiply_accumulates
from lumbarseg.models.graph import block_graph, block_of
from lumbarseg.reporting.figures.networks import network_diagram

# TensorFlow's variables and NumPy 2, within Keras
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_blocks_hold_all_that_a_network_is_made_of(name):
    network, graph = shared(name), block_graph(shared(name))
    assert graph["block"].is_unique
    assert graph["parameters"].sum() == count_parameters(network)
    assert graph["multiply_accumulates"].sum() == multiply_accumulates(network)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_blocks_are_joined_as_their_layers_are(name):
    network, graph = shared(name), block_graph(shared(name))
    # Keras' own record of the model, as it is saved in a file
    edges = set()
    for layer in network.get_config()["layers"]:

        def sources(value):
            if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
                yield value["config"]["keras_history"][0]
            elif isinstance(value, dict):
                yield from itertools.chain.from_iterable(map(sources, value.values()))
            elif isinstance(value, list | tuple):
                yield from itertools.chain.from_iterable(map(sources, value))

        for source in sources(layer["inbound_nodes"]):
            edges.add((block_of(source)[0], block_of(layer["name"])[0]))
    expected = {(one, other) for one, other in edges if one != other}
    found = {(source, row.block) for row in graph.itertuples() for source in row.sources.split()}
    assert found == expected


def test_a_block_says_what_it_does_and_what_it_gives():
    graph = block_graph(shared("UAMD")).set_index("block")
    assert graph.loc["encoder_3", "operation"] == "2 × conv 3×3; batch normalisation; ReLU"
    assert graph.loc["encoder_3", ["rows", "columns", "channels"]].tolist() == [8, 8, 16]
    assert graph.loc["attention_2", "sources"] == "encoder_2 decoder_2_transposed_conv"
    assert graph.loc["input_kernel_7", "operation"].startswith("2 × conv 7×7")
    assert graph.loc["classifier", "operation"] == "conv 1×1; softmax"


def test_a_layer_of_no_block_is_not_passed_over():
    patch = keras.Input((16, 16, 2), name="patch")
    with pytest.raises(ValueError, match="surprise belongs to no block"):
        block_graph(keras.Model(patch, keras.layers.Conv2D(3, 1, name="surprise")(patch)))


KEYS = ("input", "encoder", "decoder", "skip", "output")


@pytest.mark.parametrize("output", TOPOLOGY_CHOICES["output"])
def test_every_network_that_can_be_composed_can_be_drawn(output):
    for values in itertools.product(*(TOPOLOGY_CHOICES[key] for key in KEYS[:-1])):
        entry = dict(zip(KEYS, (*values, output), strict=True))
        graph = block_graph(narrow("U1", side=16, base_filters=1, **entry))
        figure = network_diagram(graph)
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert len([text for text in texts if text]) == len(graph)


@pytest.mark.parametrize("name", ["UAMD", "UDD", "UQD", "FCN"])
def test_words_stay_in_their_boxes_and_no_arrow_runs_through_a_box(name):
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


def test_a_network_is_drawn_from_the_file_as_from_the_model(tmp_path):
    graph = block_graph(shared("UMDD"))
    graph.to_csv(tmp_path / "blocks.csv", index=False)
    read = pd.read_csv(tmp_path / "blocks.csv", keep_default_na=False)
    texts = [[text.get_text() for text in network_diagram(one).axes[0].texts] for one in (graph, read)]
    assert texts[0] == texts[1]
