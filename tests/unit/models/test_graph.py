"""The blocks of a built network, against its layers."""

import itertools

import keras
import pytest

from factories.networks import TOPOLOGIES, shared
from lumbarseg.models.build import count_parameters, multiply_accumulates
from lumbarseg.models.graph import block_graph, block_of

# TensorFlow's variables and NumPy 2, within Keras
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_block_graph_contains_all_parameters_and_operations(name):
    network, graph = shared(name), block_graph(shared(name))
    assert graph["block"].is_unique
    assert graph["parameters"].sum() == count_parameters(network)
    assert graph["multiply_accumulates"].sum() == multiply_accumulates(network)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_block_graph_connects_blocks_as_their_layers_are(name):
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


def test_block_graph_describes_operations_and_shapes():
    graph = block_graph(shared("UAMD")).set_index("block")
    assert graph.loc["encoder_3", "operation"] == "2 × conv 3×3; batch normalisation; ReLU"
    assert graph.loc["encoder_3", ["rows", "columns", "channels"]].tolist() == [8, 8, 16]
    assert graph.loc["attention_2", "sources"] == "encoder_2 decoder_2_transposed_conv"
    assert graph.loc["input_kernel_7", "operation"].startswith("2 × conv 7×7")
    assert graph.loc["classifier", "operation"] == "conv 1×1; softmax"


def test_block_graph_rejects_a_layer_of_no_block():
    patch = keras.Input((16, 16, 2), name="patch")
    with pytest.raises(ValueError, match="surprise belongs to no block"):
        block_graph(keras.Model(patch, keras.layers.Conv2D(3, 1, name="surprise")(patch)))
