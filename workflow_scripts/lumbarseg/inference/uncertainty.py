"""How sure an ensemble is of a pixel: the entropy of its scores, and how far its networks disagree.

Scores that are spread over classes have a high entropy. It has two parts: what every network of the ensemble finds
ambiguous, and what they disagree about; the second is their mutual information with the class (Depeweg et al. 2018,
"Decomposition of uncertainty in Bayesian deep learning"). Both are beyond the paper.
"""

from collections.abc import Sequence
from typing import Any

import keras

MEASURES = ("entropy", "mutualinformation")
"""The maps that are made, by the word that stands for each in a file's name."""


def entropy(scores: Any) -> Any:
    """Compute the entropy of scores.

    Args:
        scores: (…, classes) float32 that sum to 1.

    Returns:
        (…) float32 in nats, from 0 (one class has it all) to the logarithm of the number of classes (all alike).
    """
    positive = keras.ops.maximum(scores, keras.config.epsilon())
    return -keras.ops.sum(scores * keras.ops.log(positive), axis=-1)


def mutual_information(network_scores: Sequence[Any]) -> Any:
    """Compute how far networks disagree: the entropy of their mean scores less the mean of their entropies.

    Args:
        network_scores: the scores of each network, (…, classes) float32 that sum to 1.

    Returns:
        (…) float32 in nats, from 0 (all networks agree, or there is one) to the logarithm of the number of classes.
    """
    mean = sum(network_scores[1:], start=network_scores[0]) / len(network_scores)
    own = [entropy(scores) for scores in network_scores]
    # Rounding may leave the difference a little below zero where networks agree.
    return keras.ops.maximum(entropy(mean) - sum(own[1:], start=own[0]) / len(own), 0.0)
