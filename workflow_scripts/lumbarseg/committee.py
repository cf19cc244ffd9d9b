"""A committee: networks of one fold, and every way their outputs are combined. Each network runs forward once a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from lumbarseg.errors import InputError
from lumbarseg.networks.blocks import Style, convolution, layer_seed, projection
from lumbarseg.networks.build import CLASSIFIER, SCORES, with_head_input
from lumbarseg.study import Model

SMALLEST_SCORE = 1e-7
"""Scores are clipped here before the logarithm of the geometric mean."""

_MERGING = {"A": keras.layers.Average, "C": keras.layers.Concatenate, "S": keras.layers.Add}


def head_inputs(model: Model) -> tuple[str, ...]:
    """The features a stacking head takes: `scores/UMD` for input N, `head_input/UMD` for input T (Table 6)."""
    kind = "scores" if model.combiner[0] == "N" else "head_input"
    return tuple(f"{kind}/{network}" for network in model.networks)


def features_of(model: Model) -> tuple[str, ...]:
    """The features a model's scores are made from: its head's inputs, or its networks' scores."""
    return head_inputs(model) if model.is_stacked else tuple(f"scores/{network}" for network in model.networks)


def build_head(model: Model, *, side: int, classes: int, width: int, channels: int, seed: int) -> keras.Model:
    """Build a stacking head: merge, dense with ReLU (the meta-learner), dense with softmax (Section 4.2.2).

    A dense layer over each pixel's features is a convolution with a 1 × 1 kernel.

    Args:
        model: an ensemble whose combiner is one of `study.HEADS`.
        side: rows and columns of a patch.
        classes: number of classes.
        width: channels of the networks' head inputs (m).
        channels: channels of the meta-learner.
        seed: of the weights, together with the model's name.

    Returns:
        Takes a list with one tensor a network, (batch, side, side, classes or width); gives scores
        (batch, side, side, classes) float32 that sum to 1. Its last layers are `classifier` and `scores`.
    """
    depth = classes if model.combiner[0] == "N" else width
    inputs = [keras.Input((side, side, depth), name=f"from_{network}") for network in model.networks]
    merged = _MERGING[model.combiner[1]](name="merging")(inputs)
    style = Style(seed=layer_seed(seed, model.name), activation="relu")
    hidden = convolution(merged, channels, 1, name="meta_learner", style=style)
    hidden = keras.layers.ReLU(name="meta_learner_relu")(hidden)
    logits = projection(hidden, classes, name=CLASSIFIER, style=style)
    scores = keras.layers.Activation("softmax", dtype="float32", name=SCORES)(logits)
    return keras.Model(inputs, scores, name=model.name.replace("+", "_"))


def arithmetic_mean(scores: Sequence[Any]) -> Any:
    """Equation 1: the mean of R tensors of scores, any shape."""
    return sum(scores[1:], start=scores[0]) / len(scores)


def geometric_mean(scores: Sequence[Any]) -> Any:
    """Equation 2: the R-th root of the product of R tensors of scores (…, classes), renormalised to sum 1."""
    logarithms = [keras.ops.log(keras.ops.maximum(one, SMALLEST_SCORE)) for one in scores]
    return keras.ops.softmax(arithmetic_mean(logarithms), axis=-1)


class Committee:
    """Networks of one fold and the models made of them.

    Attributes:
        models: what it gives scores for, networks (committees of one) and ensembles.
        networks: the topologies, in their order.
        patch: rows, columns and channels of the patches the networks take.
        classes: number of classes.
    """

    def __init__(
        self, networks: Mapping[str, keras.Model], models: Sequence[Model], heads: Mapping[str, keras.Model]
    ) -> None:
        """Put a committee together.

        Args:
            networks: by topology.
            models: each one's networks must be among `networks`.
            heads: the trained head of each stacked model, by model name.

        Raises:
            InputError: a network or head is missing, networks differ in patch size, channels or classes, or a head was
                trained on other outputs than these networks give.
        """
        self.models = list(models)
        self.networks = list(networks)
        shapes = {name: (network.input_shape[1:], network.output_shape[-1]) for name, network in networks.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(
                f"the committee: expected networks of one patch size and label table, found {shapes}; train them anew "
                "with the same settings"
            )
        for model in self.models:
            absent = [name for name in model.networks if name not in networks]
            if absent or (model.is_stacked and model.name not in heads):
                raise InputError(
                    f"the committee: expected everything {model.name} is made of, found no trained "
                    f"{', '.join(absent) or 'head'}; train it first (`snakemake train stack`)"
                )
        self.patch, self.classes = next(iter(shapes.values()))
        self._networks = {name: with_head_input(network) for name, network in networks.items()}
        self._heads = dict(heads)
        for model in self.models:
            if model.is_stacked:
                self._require_head(model)

    def _require_head(self, model: Model) -> None:
        place = 1 if model.combiner[0] == "N" else 0
        given = [self._networks[name].output_shape[place][1:] for name in model.networks], self.classes
        head = self._heads[model.name]
        taken = [tuple(tensor.shape[1:]) for tensor in head.inputs], head.output_shape[-1]
        if taken != given:
            raise InputError(
                f"the committee: expected a head of {model.name} for {_said(*given)}, found one for {_said(*taken)}; train "
                "the heads anew (`snakemake stack --forcerun stack_fold`)"
            )

    def see_by(self, network: str, images: Any) -> dict[str, Any]:
        """Run one network forward, as it stands (inference mode).

        Args:
            network: one of `networks`.
            images: (batch, side, side, channels) float32.

        Returns:
            `scores/<network>` (batch, side, side, classes) and `head_input/<network>` (batch, side, side, m).
        """
        head_input, scores = self._networks[network](images, training=False)
        return {f"head_input/{network}": head_input, f"scores/{network}": scores}

    def see(self, images: Any) -> dict[str, Any]:
        """Run every network forward once: the features of `see_by`, of all networks."""
        return {name: seen for network in self.networks for name, seen in self.see_by(network, images).items()}

    def combine(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Every model's scores from the networks' outputs: (batch, side, side, classes) float32 by model name."""
        return {model.name: self.combine_by(model, features) for model in self.models}

    def combine_by(self, model: Model, features: Mapping[str, Any]) -> Any:
        """One model's scores from the networks' outputs, of which it takes those of `features_of(model)`."""
        taken = [features[name] for name in features_of(model)]
        if model.is_stacked:
            return self._heads[model.name](taken, training=False)
        return geometric_mean(taken) if model.combiner == "Geo" else arithmetic_mean(taken)


def _said(inputs: Sequence[tuple[int, ...]], classes: int) -> str:
    sizes = sorted({" × ".join(map(str, shape)) for shape in inputs})
    return f"{len(inputs)} networks with {' and '.join(sizes)} and {classes} classes"
