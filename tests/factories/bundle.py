"""Bundles of narrow, untrained networks, which tests look at and segment with."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd

from lumbarseg.config.study import Model
from lumbarseg.deployment.bundle import META_LEARNER, network_entry, write_bundle
from lumbarseg.deployment.manifest import build_manifest
from lumbarseg.deployment.model_card import model_card
from lumbarseg.evaluation.labelling import THRESHOLDS
from lumbarseg.evaluation.model_selection import validation_iou
from lumbarseg.models.build import build_network
from lumbarseg.models.ensemble import build_meta_learner
from lumbarseg.models.metadata import network_metadata, save_network

SIDE, STRIDE = 32, 24
CLASSES = [
    {"id": 0, "name": "Background", "colour": "#000000"},
    {"id": 1, "name": "Int-Disc", "colour": "#3d85c6"},
    {"id": 2, "name": "Spinal-Cavity", "colour": "#7fe0e6"},
]
NAMES = [tissue["name"] for tissue in CLASSES]
TOPOLOGIES = {"U1": {}, "UD": {"output": "ds3"}}
NETWORK, MEAN, STACKED = (
    Model("UD", ("UD",)),
    Model("E2+Geo", ("U1", "UD"), "Geo"),
    Model("E2+TCD", ("U1", "UD"), "TCD"),
)


def small_network(name, channels=2, classes=3, side=SIDE):
    return build_network(
        TOPOLOGIES[name], side=side, channels=channels, classes=classes, base_filters=2, seed=3, name=name
    )


def tuned(model, fold=1, thresholds=(0.3, 0.35, 0.25), iou=0.8):
    values = [round(float(value), 2) for value in THRESHOLDS]
    return {
        "model": model, "fold": fold, "values": values, "thresholds": dict(zip(NAMES, thresholds, strict=True)),
        "iou": {name: [iou] * len(values) for name in NAMES},
    }  # fmt: skip


HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2],
        **{name: [0.5, 0.6] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "val_patch_iou")},
    }
)
"""The history of any small network."""


def small_config(channels=("T2w", "T1w")):
    """What a bundle takes from a study's config."""
    return {
        "study": "small", "channels": list(channels), "classes": CLASSES, "background": 0, "partial_labels": None,
        "registration": {"engine": "flirt", "degrees_of_freedom": 6, "max_shift_mm": 20, "max_rotation_deg": 15,
            "unusual_shift_mm": 5, "unusual_rotation_deg": 5},
        "normalisation": {"scope": "volume"}, "patches": {"patch_size": SIDE, "stride": STRIDE}, "topologies": TOPOLOGIES,
        "training": {"base_filters": 2, "epochs": 2, "batch_size": 4, "precision": "float32", "monitor": "accuracy", "seed": 1},
        "stacking": {"channels": 4, "epochs": 1},
    }  # fmt: skip


def small_manifest(model=MEAN, labelling="TH", channels=("T2w", "T1w"), ranges=None, **changes):
    experiment = f"{model.name}+{labelling}"
    test = pd.DataFrame(
        {"experiment": [experiment] * 3, "fold": [1] * 3, "class_name": NAMES, "iou": [0.9, 0.4, np.nan]}
    )
    manifest = build_manifest(
        config=small_config(channels), experiment=experiment, fold=1, model=model, tuned=tuned(model.name),
        validation=validation_iou([tuned(model.name)], NAMES[1:]),
        histories=dict.fromkeys(model.networks, HISTORY), test=test,
        subsets={"train": ["a", "b"], "validation": ["c"], "test": ["d"]}, ranges=ranges or {},
    )  # fmt: skip
    return copy.deepcopy(manifest) | changes


def small_bundle(folder: Path, model=MEAN, manifest=None, networks=None, name="small.zip", **changes) -> Path:
    """Write a bundle; networks are saved next to it."""
    manifest = manifest or small_manifest(model, **changes)
    made = networks or {name: small_network(name, len(manifest["channels"])) for name in model.networks}
    files = {}
    for topology, network in made.items():
        files[network_entry(topology)] = folder / f"{topology}.keras"
        save_network(network, files[network_entry(topology)], _metadata(topology, manifest))
    if model.is_stacked:
        files[META_LEARNER] = folder / "meta_learner.keras"
        meta_learner = build_meta_learner(model, side=SIDE, classes=3, base_filters=2, channels=4, seed=1)
        save_network(meta_learner, files[META_LEARNER], _metadata(model.name, manifest))
    write_bundle(folder / name, manifest, files, model_card(manifest))
    return folder / name


def _metadata(name, manifest):
    return network_metadata(name, manifest["fold"], manifest["channels"], NAMES)
