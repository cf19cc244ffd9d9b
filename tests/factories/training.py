"""Small trainings that tests look at: two made-up sessions, a narrow network, in this process or in one of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from factories.workflow import ROOT
from lumbarseg.config.schema import Augmentation
from lumbarseg.data.dataset import PatchSet, write_patches
from lumbarseg.models.build import build_network, optimiser
from lumbarseg.training.loop import fit
from lumbarseg.training.model import forward_images
from lumbarseg.training.options import TrainingOptions
from lumbarseg.training.task import TrainTask

TOPOLOGY = {"optimiser": "adam", "learning_rate": 0.01, "output": "ds3"}


def write_session(folder: Path, name: str, seed: int, slices: int = 6, rare: bool = False, spoil=None) -> Path:
    """Slices of bright squares on noise; the square is class 1. A rare class 2 is one pixel; some pixels may be spoilt."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((slices, 32, 32), np.uint8)
    for plane in labels:
        row, column = generator.integers(2, 16, 2)
        plane[row : row + 12, column : column + 12] = 1
    if rare:
        labels[:, 0, 0] = 2
    images = (labels[..., None] + generator.normal(0, 0.3, (*labels.shape, 2))).astype(np.float32)
    for place, value in (spoil or {}).items():
        images[place] = value
    description = folder / f"{name}_patches.json"
    write_patches(
        images, labels, side=32, stride=24, background=0, description=description,
        images_path=folder / f"{name}_images.b2nd", labels_path=folder / f"{name}_labels.b2nd",
    )  # fmt: skip
    return description


def options(**changes) -> TrainingOptions:
    settings = {
        "epochs": 4, "batch_size": 4, "monitor": "accuracy", "seed": 1, "background": 0,
        "augmentation": {"rotation_deg": 20, "zoom": [0.8, 1.2], "shift": 0.1, "flip": 0.5},
        "class_names": ["Background", "Vert", "Nowhere"],
    }  # fmt: skip
    settings |= changes
    return TrainingOptions(**settings | {"augmentation": Augmentation(**settings["augmentation"])})


def train(
    folder: Path,
    state: Path,
    identity=None,
    *,
    topology=TOPOLOGY,
    forward=forward_images,
    events=None,
    names="abc",
    **changes,
):
    """Train a narrow network on all sessions but the last, validated on that; give its file and history."""
    classes = len(options(**changes).class_names)
    network = build_network(topology, side=32, channels=2, classes=classes, base_filters=2, seed=1, name="UD")
    sessions = [folder / f"{name}_patches.json" for name in names]
    results = fit(
        [TrainTask("UD", network, optimiser(topology))], PatchSet(sessions[:-1]), PatchSet(sessions[-1:]), options(**changes),
        state, identity or {"topology": topology}, forward=forward, events=events,
    )  # fmt: skip
    return results["UD"]


def weights(file: Path) -> list[np.ndarray]:
    return keras.models.load_model(file, compile=False).get_weights()


def results_of(history):
    return history.drop(columns=["seconds", "patches_per_second"])


def start_child(sessions: Path, folder: Path, precision: str = "float32", **changes) -> subprocess.Popen:
    """Start a training in a process of its own, as a job of the workflow is; its files go to `folder`."""
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(ROOT / "workflow_scripts"), str(ROOT / "tests")])
    request = json.dumps({"sessions": str(sessions), "folder": str(folder), "precision": precision, "changes": changes})
    return subprocess.Popen([sys.executable, __file__, request], env=os.environ | {"PYTHONPATH": path})


def child(request: dict) -> None:
    """What the process does."""
    from lumbarseg.training.device import prepare_device
    from lumbarseg.workflow.joblog import job

    folder = Path(request["folder"])
    with job(folder / "log"):
        prepare_device(
            "cpu", 1, {"precision": request["precision"], "seed": 1, "xla": request["changes"].get("xla", False)}
        )
        best, history = train(Path(request["sessions"]), folder / "state", **request["changes"])
        history.to_csv(folder / "history.csv", index=False)
        (folder / "best").write_text(str(best))


if __name__ == "__main__":
    child(json.loads(sys.argv[1]))
