"""Does a start from phantoms save masks, or only steps? Vertebral bodies of real patients, learned from a few of them, to convergence.

python benchmarks/start_from.py FOLDER [masks ...]     # FOLDER/sub-*_T2w.nii.gz and sub-*_T2w_vertebrae.nii.gz; masks: 1 3 7

Each number of masks, start and seed is one training of UD, m = 16, of `STEPS` steps on patches of 192 x 192 at the images' own pixels, with
`partial_labels`: masks hold vertebral bodies alone. IoU pooled over the slices of the last three patients, at several steps; a training has
converged where it no longer rises. Finished trainings are kept in start_from/ and not repeated.
"""

import json
import sys
from pathlib import Path

import numpy as np
from measured import ROOT, print_table

SIDE, STRIDE, BATCH, STEPS, EVERY, TESTED = 192, 189, 8, 800, 100, 3
SEEDS, STARTS = (1, 2, 3), (None, "starter")
KEPT = Path("start_from")


def sessions(folder, kept):
    """Cut the patients' slices into patches; return the descriptions in the order of names."""
    from lumbarseg.data.dataset import write_patches
    from lumbarseg.geometry import load_image, sagittal_view
    from lumbarseg.imaging.normalisation import zscore

    found = []
    for path in sorted(folder.glob("sub-*_T2w.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        image, mask = load_image(path), load_image(path.with_name(f"{name}_vertebrae.nii.gz"))
        view = zscore(sagittal_view(image.get_fdata(dtype=np.float32), image.affine), "slice")
        labels = (sagittal_view(np.asanyarray(mask.dataobj), mask.affine) > 0).astype(np.uint8)
        found.append(kept / f"{name}_patches.json")
        if not found[-1].exists():
            write_patches(
                view[..., None], labels, side=SIDE, stride=STRIDE, background=0, description=found[-1],
                images_path=kept / f"{name}_images.b2nd", labels_path=kept / f"{name}_labels.b2nd", pixel_size=1.0,
            )  # fmt: skip
    return found


def train(masks, start, seed, learned, tested):
    """Train once; return the IoU of vertebral bodies of the tested patients every `EVERY` steps."""
    import pandas as pd
    import yaml

    from lumbarseg.config.model_sections import Topology, Training
    from lumbarseg.data.dataset import PatchSet
    from lumbarseg.deployment.bundle import network_entry
    from lumbarseg.deployment.starter import starter_bundle
    from lumbarseg.training.network import train_network

    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    names = [tissue["name"] for tissue in config["classes"]]
    # The patients take turns, so that each number of masks is tried with others.
    chosen = [learned[(seed - 1 + place) % len(learned)] for place in range(masks)]
    # Few patients are repeated, so that validations are about `EVERY` steps apart.
    chosen *= max(1, EVERY * BATCH // len(PatchSet(chosen)))
    patches = len(PatchSet(chosen))
    epochs = -(-STEPS * BATCH // patches)
    folder = KEPT / f"{masks}_{start}_{seed}"
    folder.mkdir(exist_ok=True)
    entry = Topology(**config["topologies"]["UD"] | {"learning_rate": 0.001}).model_dump(mode="json")
    settings = Training(base_filters=16, epochs=epochs, batch_size=BATCH, monitor="mean_iou", seed=seed)
    train_network(
        "UD", entry, chosen, tested, settings=settings.model_dump(mode="json"), class_names=names, background=0,
        unlabelled=range(2, len(names)), history_file=folder / "history.csv",
        start=starter_bundle(["T2w"]) if start else None, start_member=network_entry("UD") if start else None,
    )  # fmt: skip
    history = pd.read_csv(folder / "history.csv")
    steps = history["epoch"] * patches / BATCH
    return {step: float(history["val_patch_iou"][steps <= step].iloc[-1]) for step in range(EVERY, STEPS + 1, EVERY)}


def main():
    """Train what is missing and print the table."""
    from lumbarseg.training.device import prepare_device

    folder, numbers = Path(sys.argv[1]), [int(one) for one in sys.argv[2:]] or [1, 3, 7]
    KEPT.mkdir(exist_ok=True)
    prepare_device("cpu", 2, {"precision": "float32", "seed": 1, "xla": False})
    found = sessions(folder, KEPT)
    learned, tested = found[:-TESTED], found[-TESTED:]
    rows = []
    for masks in numbers:
        for start in STARTS:
            curves = []
            for seed in SEEDS:
                result = KEPT / f"{masks}_{start}_{seed}.json"
                if not result.exists():
                    result.write_text(json.dumps(train(masks, start, seed, learned, tested)))
                curves.append(list(json.loads(result.read_text()).values()))
            shown = [
                f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
                for values in zip(*curves, strict=True)
            ]
            rows.append([masks, start or "random", *shown])
    print_table(["masks", "start", *(f"{step} steps" for step in range(EVERY, STEPS + 1, EVERY))], rows)


if __name__ == "__main__":
    main()
