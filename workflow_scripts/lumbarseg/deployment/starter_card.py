"""The model card of a starter bundle."""

from collections.abc import Mapping
from typing import Any


def starter_card(manifest: Mapping[str, Any]) -> str:
    """Write the model card.

    Args:
        manifest: from `starter_packing.pack_starter`, with `phantom_iou`.

    Returns:
        Markdown.
    """
    training, iou, verdicts = manifest["training"], manifest["phantom_iou"], manifest["verdicts"]
    steps, channels = training["epochs"] * training["steps_per_epoch"], " + ".join(manifest["channels"])
    rows = [
        f"| {name} | {verdicts.get(name, 'not judged')} | {'' if value is None else format(100 * value, '.1f')} |"
        for name, value in iou.items()
        if name != manifest["classes"][manifest["background"]]["name"]
    ]
    start = "random weights" if len(manifest["channels"]) == 1 else "the starter network of T2w"
    judged = (
        "Verdicts: judged by eye on images of patients, none of which was used in training (docs/starter.md). "
        if verdicts
        else "Nobody has judged this network on images of patients. "
    )
    parts = [
        f"# Starter network, {channels}",
        f"Labels the lumbar spine in sagittal {channels} MR: {len(manifest['classes']) - 1} tissues and background, as drafts to be "
        "corrected.",
        "**Not a medical device.** For research only. No result may be used for diagnosis or treatment, and none as the truth of a "
        "study unless a reader has corrected it.",
        "## Training data",
        f"**No patient.** Slices of {training['phantoms']} phantoms, of which every sample is placed and deformed at random, with a contrast, "
        f"artefacts and resolution drawn at random (few in the first epochs): {steps} steps of {training['batch_size']} from {start}, best "
        f"epoch {training['best_epoch']} of {training['epochs']}. Topology {manifest['model']['name']}, m = {training['base_filters']}, seed "
        f"{training['seed']}, pixels of {manifest['pixel_size']} mm; weights stored as float16.",
        "## Verdicts",
        f"{judged}IoU in per cent on phantoms not seen, all pixels; it says how well the phantom was learned, not how well patients are "
        "labelled.",
        "\n".join(["| class | verdict | phantoms |", "|---|---|---|", *rows]),
        "## Limitations",
        "- Adults, sagittal series of the lumbar spine. Other series are flagged where labels or sizes show it, not always.\n"
        "- Slices are segmented one by one. Vertebrae are not numbered.\n"
        "- Implants, fractures, tumours, infections, transitional vertebrae and children were not tested on patients.",
        "## Software",
        ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"
