"""Tables 4 to 6: networks, ensembles and stacking models as the config that ran defines them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lumbarseg.config.schema import Stacking
from lumbarseg.reporting.tables.writing import Table

_OPTIMISERS = {"adam": "Adam", "adadelta": "Adadelta", "rmsprop": "RMSprop"}
_ACTIVATIONS = {"relu": "ReLU", "prelu": "PReLU"}
_PARTS = (
    ("encoder", {"vgg": "VGG16", "dense": "DenseBlock"}),
    ("skip", {"attention": "attGate"}),
    ("input", {"multi_kernel": "multi-kernel"}),
    ("output", {"ds3": "DS.v3"}),
    ("skip", {"ds1": "DS.v1", "ds2": "DS.v2"}),
)
"""What a topology is made of, in the order in which Table 4 names it."""
_INPUTS = {"N": "Normalised", "T": "Tensor"}
_MERGING = {"A": "Average", "C": "Concatenate", "S": "Add"}


def topologies_table(topologies: Mapping[str, Mapping[str, Any]], networks: pd.DataFrame) -> Table:
    """List the networks with what they are made of and how they are trained, as Table 4, and their parameters.

    Args:
        topologies: complete entries of the config, by name.
        networks: topology, trainable_parameters (`metrics/networks.csv`).
    """
    parameters = networks.set_index("topology")["trainable_parameters"]
    rows = [
        {
            "ID": name,
            "Configuration": _configuration(entry),
            "Optimiser": _OPTIMISERS.get(entry["optimiser"], entry["optimiser"]),
            "Learning Rate": f"{entry['learning_rate']:.5f}".rstrip("0")
            + ("0" if entry["learning_rate"] % 1 == 0 else ""),
            "Act-Conv": _ACTIVATIONS.get(entry["activation"], entry["activation"]),
            "Parameters": f"{parameters[name]:,}" if name in parameters else "",
        }
        for name, entry in topologies.items()
    ]
    return Table(pd.DataFrame(rows), "Networks of this study, and their trainable parameters.", best_bold=False)


def _configuration(entry: Mapping[str, Any]) -> str:
    if entry.get("family") == "fcn8":
        return "FCN8"
    parts = [names[entry[key]] for key, names in _PARTS if entry.get(key) in names]
    return " + ".join(["U-Net", *parts])


def ensembles_table(ensembles: Mapping[str, Sequence[str]]) -> Table:
    """List the ensembles with their networks, as Table 5.

    Args:
        ensembles: topologies by ensemble.
    """
    rows = [{"Ensemble Id": name, "Networks (IDs) Included": " ".join(members)} for name, members in ensembles.items()]
    frame = pd.DataFrame(rows, columns=["Ensemble Id", "Networks (IDs) Included"])
    return Table(frame, "Ensembles of this study and the networks they are made of.", best_bold=False)


def stacking_table(meta_learners: Sequence[str], stacking: Stacking) -> Table:
    """List the stacking models, as Table 6.

    Args:
        meta_learners: the combiners with weights, `NAD`.
        stacking: the config's `stacking`.
    """
    columns = ["Stacking model ID", "Input", "Merging Layers", "Meta-task", "Optimiser", "Learning Rate"]
    rows = [
        (
            name,
            _INPUTS[name[0]],
            _MERGING[name[1]],
            "Dense Layer",
            _OPTIMISERS.get(stacking.optimiser, stacking.optimiser),
            f"{stacking.learning_rate:g}",
        )
        for name in meta_learners
    ]
    return Table(pd.DataFrame(rows, columns=columns), "Stacking models of this study.", best_bold=False)
