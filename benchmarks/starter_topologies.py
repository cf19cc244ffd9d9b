"""Topologies of Table 4 as starter networks: mean IoU on phantoms that were not learned from, after equally many steps.

snakemake starter --cores all --until starter_phantoms
python benchmarks/starter_topologies.py results/<study>/starter/phantoms U1 UD UMD UAD UAMD      # folder, topologies

T2w, m = 16, patches of 128 x 128 at 1 mm, `EPOCHS` epochs of 250 steps, for each of `SEEDS`. The learning rate falls to its end within these
steps. Finished trainings are kept in starter_topologies/ and not repeated.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from measured import ROOT, print_table

SIDE, EPOCHS, SEEDS = 128, 3, (1, 2)
KEPT = Path("starter_topologies")


def train(name: str, seed: int, phantoms: list[Path], held_out: list[Path]) -> Path:
    """Train a topology, unless that is done; return its history."""
    from lumbarseg.config.model_sections import Starter, Topology
    from lumbarseg.models.metadata import network_metadata
    from lumbarseg.training.starter import train_starter

    folder = KEPT / f"{name}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    history = folder / "history.csv"
    if not history.exists():
        config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
        classes = [tissue["name"] for tissue in config["classes"]]
        entry = Topology.model_validate(config["topologies"][name]).model_dump(mode="json")
        settings = Starter(topology=name, patch_size=SIDE, easy_epochs=1, seed=seed).model_dump(mode="json")
        train_starter(
            entry, phantoms, held_out, contrasts=["T2w"], settings=settings, epochs=EPOCHS, class_names=classes,
            background=config["background"], history_file=history, network_file=folder / "network.keras",
            metadata=network_metadata(name, 1, ["T2w"], classes),
        )  # fmt: skip
    return history


def main() -> None:
    """Train what is missing and print the table."""
    from lumbarseg.synthesis.tissue_slices import stems
    from lumbarseg.training.device import prepare_device

    folder, topologies = Path(sys.argv[1]), sys.argv[2:]
    prepare_device("cpu", 2, {"precision": "float32", "seed": 1, "xla": False})
    phantoms, held_out = (stems(sorted(folder.glob(f"{kind}-*"))) for kind in ("train", "held-out"))
    rows = []
    for name in topologies:
        histories = [pd.read_csv(train(name, seed, phantoms, held_out)) for seed in SEEDS]
        best = [history["val_patch_iou"].max() for history in histories]
        speed = np.mean([history["patches_per_second"].mean() for history in histories])
        rows.append([name, f"{np.mean(best):.3f} ({min(best):.3f} to {max(best):.3f})", f"{speed:.1f}"])
        print(time.strftime("%H:%M:%S"), *rows[-1], file=sys.stderr)
    print_table(["topology", "mean IoU (seeds)", "samples/s"], rows)


if __name__ == "__main__":
    main()
