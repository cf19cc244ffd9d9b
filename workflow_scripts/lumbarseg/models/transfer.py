"""Start of a training from the weights of another network."""

import keras
import numpy as np


def copy_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copy the weights of all layers that both networks have with the same shapes.

    Layers are matched by name, so networks of one topology with other channels or classes share all but the first convolution or
    the classifier, and networks of different topologies their common blocks.

    Args:
        source: trained.
        target: whose weights are set; what does not fit keeps its initial weights.

    Returns:
        Names of the target's layers that have weights and keep them, in the order of the network.
    """
    known = {layer.name: layer.get_weights() for layer in source.layers}
    fresh = []
    for layer in target.layers:
        own = layer.get_weights()
        found = known.get(layer.name, [])
        if not own:
            continue
        if [np.shape(one) for one in found] == [np.shape(one) for one in own]:
            layer.set_weights(found)
        else:
            fresh.append(layer.name)
    return fresh
