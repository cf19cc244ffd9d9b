"""Tables 4 to 6: networks, ensembles and stacking models of the study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.registry import table
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
"""Parts of a topology, in the order in which Table 4 names them."""
_INPUTS = {"N": "Normalised", "T": "Tensor"}
_MERGING = {"A": "Average", "C": "Concatenate", "S": "Add"}


@table(
    "table_4",
    section="Networks",
    caption="Networks of this study, and their trainable parameters.",
    needs={"counts": "metrics/networks.csv"},
)
def table_4(counts: Path, topologies: Mapping[str, Mapping[str, Any]]) -> Table:
    """Make Table 4."""
    return topologies_table(topologies, read_csv(counts))


@table(
    "table_5",
    section="Networks",
    caption="Ensembles of this study and their networks.",
)
def table_5(ensembles: Mapping[str, Sequence[str]]) -> Table:
    """Make Table 5."""
    return ensembles_table(ensembles)


@table(
    "table_6",
    section="Networks",
    caption="Stacking models of this study.",
)
def table_6(meta_learners: Sequence[str], stacking: Mapping[str, Any]) -> Table:
    """Make Table 6."""
    return stacking_table(meta_learners, stacking["optimiser"], stacking["learning_rate"])


def topologies_table(topologies: Mapping[str, Mapping[str, Any]], networks: pd.DataFrame) -> Table:
    """List the networks with their parts, optimiser and learning rate, as Table 4, and their numbers of parameters.

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
            "Learning Rate": decimal(entry["learning_rate"]),
            "Act-Conv": _ACTIVATIONS.get(entry["activation"], entry["activation"]),
            "Parameters": f"{parameters[name]:,}" if name in parameters else "",
        }
        for name, entry in topologies.items()
    ]
    return Table(pd.DataFrame(rows), best_bold=False)


def decimal(value: float) -> str:
    """Write a number exactly and without an exponent: `0.000005`, `1.0`."""
    return np.format_float_positional(float(value), trim="0")


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
    return Table(frame, best_bold=False)


def stacking_table(meta_learners: Sequence[str], optimiser: str, learning_rate: float) -> Table:
    """List the stacking models, as Table 6.

    Args:
        meta_learners: the combiners with weights, `NAD`.
        optimiser: of their training.
        learning_rate: of their training.
    """
    columns = ["Stacking model ID", "Input", "Merging Layers", "Meta-task", "Optimiser", "Learning Rate"]
    rows = [
        (
            name,
            _INPUTS[name[0]],
            _MERGING[name[1]],
            "Dense Layer",
            _OPTIMISERS.get(optimiser, optimiser),
            decimal(learning_rate),
        )
        for name in meta_learners
    ]
    return Table(pd.DataFrame(rows, columns=columns), best_bold=False)
