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
    training, iou = manifest["training"], manifest["phantom_iou"]
    steps = training["epochs"] * training["steps_per_epoch"]
    rows = [
        f"| {name} | {verdict} | {'' if iou.get(name) is None else format(100 * iou[name], '.1f')} |"
        for name, verdict in manifest["verdicts"].items()
    ]
    parts = [
        f"# Starter network, {' + '.join(manifest['channels'])}",
        f"Labels the lumbar spine in sagittal {' + '.join(manifest['channels'])} MR: {len(manifest['classes']) - 1} tissues and "
        "background, as drafts to be corrected.",
        "**Not a medical device.** For research only. No result may be used for diagnosis or treatment, and none as the truth of a "
        "study unless a reader has corrected it.",
        "## Training data",
        f"**No patient.** {training['phantoms']} phantoms, of which every sample had a contrast, artefacts, resolution and deformation "
        f"drawn at random: {steps} steps of {training['batch_size']}. Topology {manifest['model']['name']}, "
        f"m = {training['base_filters']}, seed {training['seed']}, pixels of {manifest['pixel_size']} mm; weights stored as float16.",
        "## Verdicts",
        "Judged by eye on images of ten patients and one volunteer at 1.5 T, none of which was used in training "
        "(docs/starter.md). IoU in per cent on phantoms not seen, all pixels; it says how well the phantom was learned, not how well "
        "patients are labelled.",
        "\n".join(["| class | verdict | phantoms |", "|---|---|---|", *rows]),
        "## Limitations",
        "- Adults, sagittal series of the lumbar spine. Other series are flagged where labels or sizes show it, not always.\n"
        "- Slices are segmented one by one. Vertebrae are not numbered.\n"
        "- Implants, fractures, tumours, infections, transitional vertebrae and children were not tested on patients.",
        "## Software",
        ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"
