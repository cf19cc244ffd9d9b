"""Networks in another precision."""

import keras


def with_dtype(network: keras.Model, dtype: str) -> keras.Model:
    """Return a network that stores its weights and computes in a dtype.

    Args:
        network: any network; left as it is.
        dtype: `float32` or `float16`.

    Returns:
        A copy with the same weights, rounded to the dtype, or `network` itself where nothing would change. Scores of a float16
        network are computed in float32 after `with_dtype(network, "float32")`.
    """
    if all(layer.dtype_policy.name == dtype for layer in network.layers):
        return network

    def remade(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"dtype": dtype})

    copy = keras.models.clone_model(network, clone_function=remade)
    copy.set_weights(network.get_weights())
    return copy
