"""Packing of a starter network into a bundle, with its test on phantoms that it has not seen."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import lumbarseg
from lumbarseg.atomic_io import digest, read_json
from lumbarseg.deployment.bundle import Bundle, network_entry, write_bundle
from lumbarseg.deployment.manifest import LIBRARIES
from lumbarseg.deployment.segmenter import Segmenter
from lumbarseg.deployment.starter_card import starter_card
from lumbarseg.evaluation.metrics import counts_per_slice, iou
from lumbarseg.imaging.normalisation import zscore
from lumbarseg.models.metadata import load_network, save_network
from lumbarseg.models.precision import with_dtype
from lumbarseg.synthesis.samples import TEST_STRENGTH, draw_image
from lumbarseg.synthesis.tissue_slices import TEST_PIXEL_MM
from lumbarseg.temporary_files import PACKING, folder_beside_results

RANGES = {
    "slice spacing (mm)": [3.0, 6.0],
    "pixel height (mm)": [0.4, 1.6],
    "pixel depth (mm)": [0.4, 1.6],
    "field of view height (mm)": [200.0, 450.0],
}
"""What the networks were made for; sessions outside are flagged."""

ANATOMY = {
    "required": ["Vert", "Sacrum", "Int-Disc", "Spinal-Cavity"],
    "vertebra": "Vert",
    "canal": "Spinal-Cavity",
    "body_area_mm2": [500.0, 1500.0],
}
"""What the lumbar spine of an adult shows; see `anatomy_check.unusual_anatomy`."""

VERDICTS = Path(__file__).with_suffix(".json")
"""By SHA-256 of a network's file, the verdict on each class: whether its labels of patients are worth correcting (`manifest_model.DRAFT`) or not to
be used, judged by eye, slice by slice (docs/starter.md). Networks that nobody judged have none."""


def pack_starter(
    path: Path,
    network_file: Path,
    history: pd.DataFrame,
    phantoms: Sequence[Path],
    *,
    topology: Mapping[str, Any],
    config: Mapping[str, Any],
    contrasts: Sequence[str],
    metadata: Mapping[str, Any],
) -> None:
    """Write the bundle of a starter network, its weights as float16.

    Args:
        path: the bundle to write.
        network_file: the network, from `training.starter.train_starter`.
        history: of its training.
        phantoms: stems of phantoms to test it on; see `tissue_slices.write_phantom`.
        topology: the network's entry of the config's `topologies`.
        config: the config's `classes`, `background`, `registration` and `starter`.
        contrasts: T2w, or T2w and T1w.
        metadata: of the network; see `models.metadata`.

    Raises:
        InputError: files are damaged, or parts do not fit together.
    """
    starter = config["starter"]
    network = with_dtype(load_network(network_file, metadata), "float16")
    name = starter["topology"]
    manifest = {
        "experiment": f"{name}+MAP",
        "study": "starter",
        "model": {"name": name, "networks": [name], "combiner": ""},
        "labelling": "MAP",
        "fold": metadata["fold"],
        "channels": list(contrasts),
        "background": config["background"],
        "classes": config["classes"],
        "registration": config["registration"],
        # Samples are standardised one by one.
        "normalisation": {"scope": "slice"},
        "patches": {"patch_size": starter["patch_size"], "stride": starter["patch_size"] * 3 // 4},
        "pixel_size": starter["pixel_size_mm"],
        "training": {key: starter[key] for key in ("base_filters", "batch_size", "seed", "phantoms", "steps_per_epoch")}
        | {"epochs": len(history), "best_epoch": int(history["epoch"][history["val_patch_iou"].argmax()])},
        "topologies": {name: dict(topology)},
        "patients": {"train": 0, "validation": 0, "test": 0},
        "ranges": RANGES,
        "anatomy": ANATOMY,
        "verdicts": read_json(VERDICTS).get(digest(network_file), {}),
        "versions": {"lumbarseg": lumbarseg.__version__, "python": platform.python_version()}
        | {library: version(library) for library in LIBRARIES},
    }
    with folder_beside_results(path.parent, PACKING) as scratch:
        file, unchecked = scratch / "network.keras", scratch / path.name
        save_network(network, file, metadata)
        files = {network_entry(name): file}
        write_bundle(unchecked, manifest, files, "")
        manifest["phantom_iou"] = phantom_iou(Segmenter(Bundle(unchecked)), phantoms, starter)
        write_bundle(unchecked, manifest, files, starter_card(manifest))
        unchecked.replace(path)


def phantom_iou(segmenter: Segmenter, phantoms: Sequence[Path], starter: Mapping[str, Any]) -> dict[str, float | None]:
    """Segment images of phantoms at their own pixel size.

    Args:
        segmenter: of the bundle.
        phantoms: stems of the phantoms.
        starter: the config's `starter`.

    Returns:
        IoU by class, over all pixels of all phantoms, 0 … 1; None for a class that none of them has.
    """
    names = segmenter.table.names
    counts = np.zeros((3, len(names)), np.int64)
    for number, stem in enumerate(phantoms):
        for index in range(starter["slices"]):
            generator = np.random.default_rng([starter["seed"], number, index, 4])
            image, truth = draw_image(
                stem, index, segmenter.bundle.manifest["channels"], TEST_PIXEL_MM, TEST_STRENGTH, generator
            )
            found = segmenter.segment(zscore(image[None], "slice"), (TEST_PIXEL_MM, TEST_PIXEL_MM)).labels[0]
            counts += np.stack(counts_per_slice(truth[None], found[None], len(names)))[:, 0]
    values = iou(*counts)
    return {
        name: None if np.isnan(value) else round(float(value), 4) for name, value in zip(names, values, strict=True)
    }
