"""The model card of a bundle: training data, selection, results and limitations."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def model_card(manifest: Mapping[str, Any]) -> str:
    """Write the model card.

    Args:
        manifest: from `manifest.build_manifest`.

    Returns:
        Markdown, without anything that identifies a patient.
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
        f"and background with {of_model}, labelled by {labelling}, trained in fold {manifest['fold']}.",
        "**Not a medical device.** For research only. No result may be used for diagnosis or treatment unless a radiologist has "
        "reviewed it.",
        "## Training data",
        f"Patients: {patients['train']} for training, {patients['validation']} for the selection of epochs and thresholds, "
        f"{patients['test']} for the test. The test patients were used neither for training nor for the selection of this model.",
        _table(["", "minimum", "maximum"], [[name, *map(_number, ends)] for name, ends in manifest["ranges"].items()]),
        "Sessions outside these ranges are segmented and flagged (margin: a tenth for lengths and times, 0.25 for z-scores, 0.15 for "
        "the correlation).",
        f"Settings: m = {training['base_filters']}, {training['epochs']} epochs, batch {training['batch_size']}, {training['precision']}, "
        f"best epoch by {training['monitor']}, seed {training['seed']}; patches of {manifest['patches']['patch_size']}, stride "
        f"{manifest['patches']['stride']}; z-score of each {manifest['normalisation']['scope']}.",
        "## Selection",
        f"Of {validation['number_of_models']} models, {'this one' if best == model['name'] else best} has the highest validation "
        "IoU: the mean over classes and folds of the IoU of a class against all others at its threshold. The value is optimistic, "
        "because thresholds and epochs were selected on the same slices; the test results below are not.",
        _table(["model", "validation IoU, %"], [[name, _percent(iou)] for name, iou in validation["models"].items()]),
        "Folds of this model: "
        + ", ".join(f"{fold}: {_percent(iou)} %" for fold, iou in validation["mean_by_fold"].items())
        + ". Folds have different validation patients, so their values are not a ranking.",
        "## Results",
        "IoU in per cent over all pixels of the slices. Validation: each class against all others at its threshold. Test: the final "
        "labels.",
        _table(["class", "threshold", "validation", "test"], _classes(manifest)),
        "## Networks",
        _table(
            ["network", "best epoch", "accuracy", "validation accuracy", "validation IoU (patches)"],
            [
                [name, f"{row['epoch']} of {row['of']}", *(_percent(row[key]) for key in ("accuracy", "val_accuracy", "val_patch_iou"))]
                for name, row in manifest["epochs"].items()
            ],
        ),
        "## Limitations",
        *_limits(manifest),
        "## Software",
        ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()) + ".",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _limits(manifest: Mapping[str, Any]) -> Iterable[str]:
    both = len(manifest["channels"]) == 2
    limits = [
        "Sagittal series only" + (", T2w and T1w of one session, registered to each other." if both else "."),
        "Slices are segmented independently, without consistency between neighbouring slices.",
        "Vertebrae and discs are one class each: they are not numbered, and no vertebral level is identified.",
        "Implants, fractures, tumours, scoliosis and patients unlike the training patients were not tested unless the study says so.",
    ]  # fmt: skip
    if both and manifest["registration"]["engine"] != "itk":
        limits.append(
            f"The training's T1w images were registered by {manifest['registration']['engine']}; new sessions are registered by "
            "ITK, which is part of the environment."
        )
    if unlearned := manifest.get("classes_not_learned"):
        limits.append(f"Masks held other classes only, so these are left out: {', '.join(unlearned)}.")
    iou = manifest["test_iou"]
    background = manifest["classes"][manifest["background"]]["name"]
    weak = [name for name, value in iou.items() if value is not None and value < 0.5 and name != background]
    if weak:
        limits.append(f"The IoU on test patients is below 50 % for {', '.join(weak)}.")
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
