"""The model card of a bundle: what was trained, on whom, how well it did, and where it should not be trusted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def model_card(manifest: Mapping[str, Any]) -> str:
    """Write the model card.

    Args:
        manifest: as `packing.describe` gives it.

    Returns:
        Markdown. Nothing in it names a patient.
    """
    training, model = manifest["training"], manifest["model"]
    patients, validation = manifest["patients"], manifest["validation"]
    labelling = {"TH": "a threshold for each class", "MAP": "the highest score"}[manifest["labelling"]]
    of_model = (
        f"the network {model['name']}"
        if len(model["networks"]) == 1
        else f"{model['name']}, an ensemble of {', '.join(model['networks'])}"
    )
    best = next(iter(validation["models"]))
    parts = [
        f"# {manifest['experiment']}, study {manifest['study']}",
        f"Segments the lumbar spine in sagittal {' + '.join(manifest['channels'])} MR into {len(manifest['classes']) - 1} tissues "
        f"and background. It is {of_model}, labelled by {labelling}, trained in fold {manifest['fold']}.",
        "**Not a medical device.** For research. No result may be used for a diagnosis or a treatment without a radiologist who "
        "has looked at it.",
        "## Trained on",
        f"Patients: {patients['train']} to train on, {patients['validation']} to choose epochs and thresholds, {patients['test']} "
        "kept for the test, whom neither training nor the choice of this model saw.",
        _table(["", "least", "greatest"], [[name, *map(_number, ends)] for name, ends in manifest["ranges"].items()]),
        "A session outside these ranges (a margin of a tenth for lengths and times, 0.25 for z-scores, 0.15 for the correlation) is segmented and "
        "flagged.",
        f"Settings: m = {training['base_filters']}, {training['epochs']} epochs, batch {training['batch_size']}, {training['precision']}, "
        f"best epoch by {training['monitor']}, seed {training['seed']}; patches of {manifest['patches']['patch_size']}, stride "
        f"{manifest['patches']['stride']}; z-score of each {manifest['normalisation']['scope']}.",
        "## How it was chosen",
        f"Of {validation['number_of_models']} models {'this' if best == model['name'] else best} did best on validation slices: the "
        "mean over the classes of a class's IoU against the rest at its threshold, and over the folds. It is optimistic, for "
        "thresholds and epochs were chosen on the same slices; the test below is not.",
        _table(["model", "validation IoU, %"], [[name, _percent(iou)] for name, iou in validation["models"].items()]),
        "Its folds: "
        + ", ".join(f"{fold}: {_percent(iou)} %" for fold, iou in validation["mean_by_fold"].items())
        + ". The folds have other validation patients, so this is a choice among equals rather than a ranking.",
        "## How well it does",
        "IoU in per cent, of all pixels of the slices: validation, each class against the rest at its threshold; test, the labels "
        "as they come out.",
        _table(["class", "threshold", "validation", "test"], _classes(manifest)),
        "## Networks",
        _table(
            ["network", "best epoch", "accuracy", "validation accuracy", "validation IoU of patches"],
            [
                [name, f"{row['epoch']} of {row['of']}", *(_percent(row[key]) for key in ("accuracy", "val_accuracy", "val_patch_iou"))]
                for name, row in manifest["epochs"].items()
            ],
        ),
        "## Known limits",
        *_limits(manifest),
        "## Made with",
        ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()) + ".",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _limits(manifest: Mapping[str, Any]) -> Iterable[str]:
    both = len(manifest["channels"]) == 2
    limits = [
        "Sagittal series only" + (", T2w and T1w of one session, registered to one another." if both else "."),
        "Slices are segmented one by one; nothing makes neighbouring slices agree.",
        "Vertebrae and discs are one class each: they are not numbered, and no vertebral level is told.",
        "Implants, fractures, tumours, scoliosis, and patients unlike those it was trained on were not tested unless the study says so.",
    ]  # fmt: skip
    if both and manifest["registration"]["engine"] != "itk":
        limits.append(
            f"The training's T1w images were registered by {manifest['registration']['engine']}; new sessions are registered by "
            "ITK, which needs no installation."
        )
    iou = manifest["test_iou"]
    background = manifest["classes"][manifest["background"]]["name"]
    weak = [name for name, value in iou.items() if value is not None and value < 0.5 and name != background]
    if weak:
        limits.append(f"On test patients less than half of the union is right (IoU below 50 %) for {', '.join(weak)}.")
    return ["\n".join(f"- {limit}" for limit in limits)]


def _classes(manifest: Mapping[str, Any]) -> list[list[str]]:
    validation, test = manifest["validation"]["iou"], manifest["test_iou"]
    by_threshold = manifest["labelling"] == "TH"
    background = manifest["classes"][manifest["background"]]["name"]
    rows = [
        [name, f"{threshold:.2f}" if by_threshold else "", _percent(validation[name]), _percent(test.get(name))]
        for name, threshold in manifest["thresholds"].items()
    ]
    means = [
        [value for name, value in values.items() if value is not None and name != background]
        for values in (validation, test)
    ]
    return [
        *rows,
        ["**mean without background**", "", *(_percent(float(np.mean(one)) if one else None) for one in means)],
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
