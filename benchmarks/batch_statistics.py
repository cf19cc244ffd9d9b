"""Moving against recomputed batch statistics: patch IoU of the validation patches after so many epochs, of the same weights.

make demo
python benchmarks/batch_statistics.py results/demo UMD 1 40      # study, topology, fold, epochs
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml
from measured import ROOT, print_table

SHOWN = (1, 2, 4, 6, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300)


def history(study: Path, topology: str, fold: int, epochs: int, statistics: str) -> pd.DataFrame:
    """Train with the demo's settings; the statistics change no weight, so both trainings are the same."""
    from lumbarseg.config.study import Study
    from lumbarseg.training.network import train_network

    config = [yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", "profiles/demo/study.yaml")]
    settings = Study({**config[0], **config[1], "training": config[0].get("training", {}) | config[1]["training"]})
    training = settings.config.training.model_dump(mode="json") | {"epochs": epochs, "batch_statistics": statistics}
    folds = pd.read_csv(study / "folds.tsv", sep="\t", dtype=str)
    folds = folds[folds["fold"] == str(fold)]

    def patches(subset: str) -> list[Path]:
        patients = folds.loc[folds["subset"] == subset, "participant_id"]
        return [path for patient in patients for path in sorted(study.glob(f"patches/sub-{patient}/*/*_patches.json"))]

    with tempfile.TemporaryDirectory() as folder:
        train_network(
            topology, settings.topology(topology), patches("train"), patches("validation"), settings=training,
            class_names=[label.name for label in settings.config.classes], background=settings.config.background,
            history_file=Path(folder, "history.csv"), network_file=Path(folder, "network.keras"),
        )  # fmt: skip
        return pd.read_csv(Path(folder, "history.csv"), index_col="epoch")


def main() -> None:
    """Print the table."""
    from lumbarseg.training.device import prepare_device

    study, topology, fold, epochs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    prepare_device("cpu", 2, {"precision": "float32", "seed": 1, "xla": False})
    found = {name: history(study, topology, fold, epochs, name) for name in ("moving", "recomputed")}
    rows = [
        [
            epoch,
            *(float(one.loc[epoch, "val_patch_iou"]) for one in found.values()),
            float(found["moving"].loc[epoch, "loss"]),
        ]
        for epoch in SHOWN
        if epoch <= epochs
    ]
    print_table([f"epochs of {topology}, fold {fold}", "moving", "recomputed", "training loss"], rows)


if __name__ == "__main__":
    main()
