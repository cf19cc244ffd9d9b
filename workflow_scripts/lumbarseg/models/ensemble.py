"""Ensembles of the networks of one fold. Each network runs forward once per batch, whatever the number of models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from lumbarseg.config.study import Model
from lumbarseg.errors import InputError
from lumbarseg.models.blocks import Style, convolution, layer_seed, projection
from lumbarseg.models.build import CLASSIFIER, SCORES, with_head_input

SMALLEST_SCORE = 1e-7
"""Lower bound of scores before the logarithm of the geometric mean."""

MERGING = "merging"
"""Name of the layer that merges a meta-learner's inputs."""

_MERGING = {"A": keras.layers.Average, "C": keras.layers.Concatenate, "S": keras.layers.Add}


def meta_learner_inputs(model: Model) -> tuple[str, ...]:
    """Return the features a meta-learner takes: `scores/UMD` for input N, `head_input/UMD` for input T (Table 6)."""
    kind = "scores" if model.combiner[0] == "N" else "head_input"
    return tuple(f"{kind}/{network}" for network in model.networks)


def features_of(model: Model) -> tuple[str, ...]:
    """Return the features a model's scores are computed from: its meta-learner's inputs, or its networks' scores."""
    if model.is_stacked:
        return meta_learner_inputs(model)
    kinds = ("scores", "flipped_scores") if model.combiner == "Flip" else ("scores",)
    return tuple(f"{kind}/{network}" for kind in kinds for network in model.networks)


def build_meta_learner(
    model: Model, *, side: int, classes: int, base_filters: int, channels: int, seed: int
) -> keras.Model:
    """Build a meta-learner: merging, dense layer with ReLU, dense layer with softmax (Section 4.2.2).

    A dense layer applied to each pixel's features is a convolution with a 1 × 1 kernel.

    Args:
        model: an ensemble whose combiner is one of `study.META_LEARNERS`.
        side: rows and columns of a patch, in pixels.
        classes: number of classes, background included.
        base_filters: m, channels of the networks' head inputs.
        channels: channels of the hidden layer.
        seed: seed of the initial weights, used together with the model's name.

    Returns:
        A model from a list with one tensor per network, (batch, side, side, classes) for input N or
        (batch, side, side, m) for input T, to scores, (batch, side, side, classes) float32 that sum to 1. Its last layers
        are `classifier` and `scores`.
    """
    depth = classes if model.combiner[0] == "N" else base_filters
    inputs = [keras.Input((side, side, depth), name=f"from_{network}") for network in model.networks]
    merged = _MERGING[model.combiner[1]](name=MERGING)(inputs)
    style = Style(seed=layer_seed(seed, model.name), activation="relu")
    hidden = convolution(merged, channels, 1, name="hidden", style=style)
    hidden = keras.layers.ReLU(name="hidden_relu")(hidden)
    logits = projection(hidden, classes, name=CLASSIFIER, style=style)
    scores = keras.layers.Activation("softmax", dtype="float32", name=SCORES)(logits)
    return keras.Model(inputs, scores, name=model.name.replace("+", "_"))


def logarithms(scores: Any) -> Any:
    """Return the logarithms of scores (any shape) for the geometric mean; scores below `SMALLEST_SCORE` count as it."""
    return keras.ops.log(keras.ops.maximum(scores, SMALLEST_SCORE))


def averages(tensors: Mapping[str, Any], members: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Any]:
    """Compute many means over subsets of the same tensors with one matrix product, which reads each tensor once.

    Args:
        tensors: tensors by name, all of the same shape.
        members: for each mean, the names of the tensors to average.

    Returns:
        By tuple of names, the mean of these tensors, float32, of their shape.
    """
    wanted = list(dict.fromkeys(members))
    names = [name for name in tensors if any(name in some for some in wanted)]
    if not wanted:
        return {}
    weights = np.array([[(name in some) / len(some) for name in names] for some in wanted], np.float32)
    shape = keras.ops.shape(tensors[names[0]])
    rows = keras.ops.stack([keras.ops.reshape(keras.ops.cast(tensors[name], "float32"), (-1,)) for name in names])
    means = keras.ops.matmul(weights, rows)
    return {some: keras.ops.reshape(means[place], shape) for place, some in enumerate(wanted)}


class Ensemble:
    """The networks of one fold and the models that combine them.

    Attributes:
        models: models whose scores are computed: single networks and ensembles.
        networks: names of the topologies, in order.
        patch: rows, columns and channels of the networks' input patches.
        classes: number of classes, background included.
    """

    def __init__(
        self, networks: Mapping[str, keras.Model], models: Sequence[Model], meta_learners: Mapping[str, keras.Model]
    ) -> None:
        """Create an ensemble and check that its parts fit together.

        Args:
            networks: trained networks by topology.
            models: models to compute; their networks must be among `networks`.
            meta_learners: the trained meta-learner of each stacked model, by model name.

        Raises:
            InputError: a network or meta-learner is missing, networks differ in patch size, channels or classes, or the
                inputs of a meta-learner do not match the networks' outputs.
        """
        self.models = list(models)
        self.networks = list(networks)
        shapes = {name: (network.input_shape[1:], network.output_shape[-1]) for name, network in networks.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(
                f"ensemble: the networks differ in patch size, channels or number of classes ({shapes}); retrain them with "
                "the same settings"
            )
        for model in self.models:
            absent = [name for name in model.networks if name not in networks]
            if absent or (model.is_stacked and model.name not in meta_learners):
                raise InputError(
                    f"ensemble: {model.name} needs {', '.join(absent) or 'its meta-learner'}, which is not trained; train it "
                    "first (`snakemake train stack`)"
                )
        self.patch, self.classes = next(iter(shapes.values()))
        self._networks = {name: with_head_input(network) for name, network in networks.items()}
        for model in self.models:
            if model.is_stacked:
                self._require_meta_learner(model, meta_learners[model.name])
        # The inputs of all meta-learners are merged together, see `means`.
        self._meta_learners = {
            name: keras.Model(
                meta_learner.get_layer(MERGING).output, meta_learner.output, name=f"{meta_learner.name}_merged"
            )
            for name, meta_learner in meta_learners.items()
        }

    def _require_meta_learner(self, model: Model, meta_learner: keras.Model) -> None:
        place = 1 if model.combiner[0] == "N" else 0
        given = [self._networks[name].output_shape[place][1:] for name in model.networks], self.classes
        taken = [tuple(tensor.shape[1:]) for tensor in meta_learner.inputs], meta_learner.output_shape[-1]
        if taken != given:
            raise InputError(
                f"ensemble: the meta-learner of {model.name} was trained for {_described(*taken)}, but the ensemble has "
                f"{_described(*given)}; retrain the meta-learners (`snakemake stack --forcerun stack_fold`)"
            )

    def forward_one(self, network: str, images: Any) -> dict[str, Any]:
        """Run one network in inference mode.

        Args:
            network: one of `networks`.
            images: (batch, side, side, channels) float32.

        Returns:
            The features `scores/<network>`, (batch, side, side, classes), and `head_input/<network>`,
            (batch, side, side, m). If a model with this network is combined by Flip, also `flipped_scores/<network>`: the
            scores of the images flipped along the columns (antero-posterior), flipped back.
        """
        forward = self._networks[network]
        head_input, scores = forward(images, training=False)
        features = {f"head_input/{network}": head_input, f"scores/{network}": scores}
        if any(model.combiner == "Flip" and network in model.networks for model in self.models):
            _, flipped = forward(keras.ops.flip(images, axis=2), training=False)
            features[f"flipped_scores/{network}"] = keras.ops.flip(flipped, axis=2)
        return features

    def forward(self, images: Any) -> dict[str, Any]:
        """Run every network once and return the features of `forward_one` of all networks."""
        return {name: tensor for network in self.networks for name, tensor in self.forward_one(network, images).items()}

    def means(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the means that the models need, with one matrix product for each kind of feature.

        Args:
            features: features of `forward`; those that `features_of` names for the models suffice.

        Returns:
            By model name, for each model that needs a mean: the mean of its scores (for Geo, of their logarithms) or of
            its meta-learner's inputs, (batch, side, side, classes or m) float32.
        """
        arithmetic = {model.name: features_of(model) for model in self.models if model.takes_mean}
        means: dict[tuple[str, ...], Any] = {}
        for kind in ("scores", "head_input"):
            means |= averages(features, (names for names in arithmetic.values() if names[0].startswith(kind)))
        geometric = {model.name: features_of(model) for model in self.models if model.combiner == "Geo"}
        logs = {name: logarithms(features[name]) for name in dict.fromkeys(sum(geometric.values(), ()))}
        means_of_logs = averages(logs, geometric.values())
        return {name: means[names] for name, names in arithmetic.items()} | {
            name: means_of_logs[names] for name, names in geometric.items()
        }

    def scores_of(self, model: Model, features: Mapping[str, Any], mean: Any = None) -> Any:
        """Compute the scores of one model.

        Args:
            model: one of `models`.
            features: the features that `features_of` names for the model.
            mean: the model's entry of `means`; None for a model without one.

        Returns:
            (batch, side, side, classes) float32.
        """
        names = features_of(model)
        if model.combiner == "Geo":
            return keras.ops.softmax(mean, axis=-1)
        if not model.is_stacked:
            return mean if len(names) > 1 else features[names[0]]
        if not model.takes_mean:
            merged = keras.ops.concatenate([features[name] for name in names], axis=-1)
        else:
            merged = mean * len(names) if model.combiner[1] == "S" else mean
        return self._meta_learners[model.name](merged, training=False)

    def combine(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the scores of every model from the networks' outputs.

        Args:
            features: features of `forward`; those that `features_of` names for the models suffice.

        Returns:
            By model name, (batch, side, side, classes) float32.
        """
        means = self.means(features)
        return {model.name: self.scores_of(model, features, means.get(model.name)) for model in self.models}


def _described(inputs: Sequence[tuple[int, ...]], classes: int) -> str:
    sizes = sorted({" × ".join(map(str, shape)) for shape in inputs})
    return f"{len(inputs)} networks with {' and '.join(sizes)} and {classes} classes"
