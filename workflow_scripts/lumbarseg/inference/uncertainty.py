"""Uncertainty of an ensemble's labels: entropy of the scores, and mutual information between networks and class.

The entropy of the mean scores has two parts: the mean entropy of the single networks, and their disagreement, which is the
mutual information (Depeweg et al. 2018, "Decomposition of uncertainty in Bayesian deep learning"). Both measures are
additions to the paper.
"""

from collections.abc import Sequence
from typing import Any

import keras

MEASURES = ("entropy", "mutualinformation")
"""The measures, as named in file names."""


def entropy(scores: Any) -> Any:
    """Compute the entropy of scores.

    Args:
        scores: (…, classes) float32 that sum to 1.

    Returns:
        (…) float32 in nats, from 0 (one class has score 1) to the logarithm of the number of classes (equal scores).
    """
    positive = keras.ops.maximum(scores, keras.config.epsilon())
    return -keras.ops.sum(scores * keras.ops.log(positive), axis=-1)


def mutual_information(network_scores: Sequence[Any]) -> Any:
    """Compute the disagreement of networks: the entropy of their mean scores minus the mean of their entropies.

    Args:
        network_scores: the scores of each network, (…, classes) float32 that sum to 1.

    Returns:
        (…) float32 in nats, from 0 (all networks agree, or there is only one) to the logarithm of the number of classes.
    """
    mean = sum(network_scores[1:], start=network_scores[0]) / len(network_scores)
    own = [entropy(scores) for scores in network_scores]
    # Rounding can make the difference slightly negative where networks agree.
    return keras.ops.maximum(entropy(mean) - sum(own[1:], start=own[0]) / len(own), 0.0)
