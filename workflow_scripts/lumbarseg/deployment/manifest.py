"""The manifest of a bundle: model, thresholds, settings, results and training ranges of an experiment."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

import lumbarseg
from lumbarseg.config.history import MONITOR_COLUMNS
from lumbarseg.config.study import Model
from lumbarseg.errors import InputError
from lumbarseg.labels import LabelTable

_SHOWN_MODELS = 10
LIBRARIES = ("tensorflow", "keras", "numpy", "nibabel", "simpleitk", "dcm2niix")
"""Packages whose versions a bundle records."""


def build_manifest(
    *,
    config: Mapping[str, Any],
    experiment: str,
    fold: int,
    model: Model,
    tuned: Mapping[str, Any],
    validation: pd.DataFrame,
    histories: Mapping[str, pd.DataFrame],
    test: pd.DataFrame,
    subsets: Mapping[str, Sequence[str]],
    ranges: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Build the manifest of a bundle.

    Args:
        config: the complete config of the study, of which study, channels, classes, background, registration, normalisation,
            patches, topologies (with all defaults), partial_labels, training and stacking are used.
        experiment: its name, such as `UMD+TH`.
        fold: the fold of the networks.
        model: the model of the experiment.
        tuned: the model's thresholds of this fold, the content of `thresholds/<model>/fold-<k>.json`.
        validation: IoU of all models and folds, from `model_selection.validation_iou`.
        histories: by topology, `history.csv` of this fold.
        test: `metrics/iou.csv` of the study.
        subsets: by subset (train, validation, test), the patients of this fold; only their number is recorded.
        ranges: of the training sessions, from `domain_check.ranges_of`.

    Returns:
        The content of `bundle.json` without `format` and `files`.

    Raises:
        InputError: the thresholds belong to other classes, another model or another fold.
    """
    names = LabelTable(config["classes"], config["background"]).names
    if list(tuned["thresholds"]) != names or tuned["model"] != model.name or tuned["fold"] != fold:
        raise InputError(
            f"thresholds of {tuned['model']}, fold {tuned['fold']}: not those of {model.name}, fold {fold}, for the classes "
            f"{', '.join(names)}; run `snakemake threshold` again"
        )
    own = test[(test["experiment"] == experiment) & (test["fold"] == fold)]
    means = validation.groupby("model", sort=False)["iou"].mean().sort_values(ascending=False, kind="stable")
    of_model = validation[validation["model"] == model.name].set_index("fold")["iou"]
    copied = ("study", "channels", "background", "classes", "registration", "normalisation", "patches", "training")
    manifest = {
        "experiment": experiment,
        "model": {"name": model.name, "networks": list(model.networks), "combiner": model.combiner},
        "labelling": experiment.rpartition("+")[2],
        "fold": fold,
        **{key: config[key] for key in copied},
        "topologies": {name: config["topologies"][name] for name in model.networks},
        "stacking": config["stacking"] if model.is_stacked else None,
        "thresholds": tuned["thresholds"],
        "patients": {subset: len(patients) for subset, patients in subsets.items()},
        "validation": {
            "iou": {
                name: _or_none(tuned["iou"][name][tuned["values"].index(threshold)])
                for name, threshold in tuned["thresholds"].items()
            },
            "mean_by_fold": {str(number): _or_none(value) for number, value in of_model.items()},
            "models": {str(name): _or_none(value) for name, value in means.head(_SHOWN_MODELS).items()},
            "number_of_models": len(means),
        },
        "test_iou": {name: _or_none(value) for name, value in zip(own["class_name"], own["iou"], strict=True)},
        "epochs": {name: _best_epoch(history, config["training"]) for name, history in histories.items()},
        "ranges": {name: list(values) for name, values in ranges.items()},
        "versions": {"lumbarseg": lumbarseg.__version__, "python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
    }
    if unlearned := _not_learned(config):
        manifest["classes_not_learned"] = unlearned
    return manifest


def _not_learned(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the classes that neither masks nor phantoms nor the network to start from have shown to the networks."""
    held, training = config["partial_labels"], config["training"]
    if held is None or training["start_from"] or training["phantom_share"]:
        return []
    return [one["name"] for one in config["classes"] if one["name"] not in held and one["id"] != config["background"]]


def _best_epoch(history: pd.DataFrame, training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the selected epoch with its losses, accuracies and patch IoU."""
    decisive = MONITOR_COLUMNS[training["monitor"]]
    row = history.iloc[history[decisive].argmax()]
    kept = {name: _or_none(row[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy", "val_patch_iou")}
    return {"epoch": int(row["epoch"]), "of": len(history), **kept}


def _or_none(value: float | None) -> float | None:
    """Return a value as JSON has it, null for one that is not finite."""
    return float(value) if value is not None and np.isfinite(value) else None
