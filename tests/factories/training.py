"""Small trainings for tests: made-up sessions and a tiny network, in this process or in one of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from factories.workflow import ROOT
from lumbarseg.config.model_sections import Augmentation
from lumbarseg.data.dataset import PatchSet, write_patches
from lumbarseg.models.build import optimiser
from lumbarseg.training.loop import fit
from lumbarseg.training.model import forward_images
from lumbarseg.training.options import TrainingOptions
from lumbarseg.training.task import TrainTask

SIDE = 32
CLASS_NAMES = ["Background", "Vert", "Nowhere"]
ADAM = {"optimiser": "adam", "learning_rate": 0.01}


def write_session(folder: Path, name: str, seed: int, slices: int = 6, rare: bool = False, spoilt=None) -> Path:
    """Slices of bright squares on noise; the square is class 1. A rare class 2 is one pixel; some pixels may be spoilt."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((slices, SIDE, SIDE), np.uint8)
    for plane in labels:
        row, column = generator.integers(2, 16, 2)
        plane[row : row + 12, column : column + 12] = 1
    if rare:
        labels[:, 0, 0] = 2
    images = (labels[..., None] + generator.normal(0, 0.3, (*labels.shape, 2))).astype(np.float32)
    for place, value in (spoilt or {}).items():
        images[place] = value
    description = folder / f"{name}_patches.json"
    write_patches(
        images, labels, side=SIDE, stride=24, background=0, description=description,
        images_path=folder / f"{name}_images.b2nd", labels_path=folder / f"{name}_labels.b2nd",
    )  # fmt: skip
    return description


def write_sessions(folder: Path, **changes) -> list[Path]:
    """Three sessions; trainings are validated on the last."""
    return [write_session(folder, name, seed, **changes) for seed, name in enumerate("abc")]


def tiny_network(name: str = "U1", seed: int = 1, channels: int = 2, normalised: bool = True) -> keras.Model:
    """A network of two convolutions that ends as all networks do. It learns the squares, and is traced in no time."""
    layers = keras.layers

    def convolution(filters: int, kernel: int, place: int, **settings):
        initial = keras.initializers.GlorotUniform(seed=10 * seed + place)
        return layers.Conv2D(filters, kernel, padding="same", kernel_initializer=initial, **settings)

    patch = keras.Input((SIDE, SIDE, channels), name="patch")
    tensor = convolution(4, 5, 1)(patch)
    if normalised:
        tensor = layers.BatchNormalization()(tensor)
    tensor = layers.ReLU()(convolution(3, 3, 2)(layers.ReLU()(tensor)))
    logits = convolution(len(CLASS_NAMES), 1, 3, name="classifier")(tensor)
    scores = layers.Activation("softmax", dtype="float32", name="scores")(logits)
    return keras.Model(patch, scores, name=name)


def tiny_task(entry=ADAM, name: str = "U1", **network) -> TrainTask:
    return TrainTask(name, tiny_network(name, **network), optimiser(entry))


def options(**changes) -> TrainingOptions:
    settings = {
        "epochs": 3, "batch_size": 4, "monitor": "accuracy", "seed": 1, "background": 0, "class_names": CLASS_NAMES,
        "augmentation": {"rotation_deg": 20, "zoom": [0.8, 1.2], "shift": 0.1, "flip": 0.5},
    }  # fmt: skip
    settings |= changes
    return TrainingOptions(**settings | {"augmentation": Augmentation(**settings["augmentation"])})


def train(sessions, state: Path, identity="the training", *, task=None, forward=forward_images, events=None, **changes):
    """Train a tiny network on all sessions but the last, validated on that; return its file and history."""
    task = task or tiny_task()
    results = fit(
        [task], PatchSet(sessions[:-1]), PatchSet(sessions[-1:]), options(**changes), state, {"identity": identity},
        forward=forward, events=events,
    )  # fmt: skip
    return results[task.name]


def weights(file: Path) -> list[np.ndarray]:
    return keras.models.load_model(file, compile=False).get_weights()


def same_weights(file: Path, other: Path) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(file), weights(other), strict=True))


def results_of(history):
    return history.drop(columns=["seconds", "patches_per_second"])


def python_path() -> dict[str, str]:
    """The environment of a process of its own that imports the library and the factories."""
    path = os.pathsep.join([str(ROOT / "workflow_scripts"), str(ROOT / "tests")])
    return os.environ | {"PYTHONPATH": path}


def start_child(sessions, folder: Path, **changes) -> subprocess.Popen:
    """Start a training in a process of its own, as a job of the workflow is; its files go to `folder`."""
    folder.mkdir(exist_ok=True)
    request = json.dumps({"sessions": list(map(str, sessions)), "folder": str(folder), "changes": changes})
    return subprocess.Popen([sys.executable, __file__, request], env=python_path())


def child(request: dict) -> None:
    """What the process does."""
    from lumbarseg.training.device import prepare_device
    from lumbarseg.workflow.joblog import job

    folder = Path(request["folder"])
    with job(folder / "log"):
        prepare_device("cpu", 1, {"precision": "float32", "seed": 1, "xla": False})
        best, history = train(list(map(Path, request["sessions"])), folder / "state", **request["changes"])
        history.to_csv(folder / "history.csv", index=False)
        (folder / "best").write_text(str(best))


if __name__ == "__main__":
    child(json.loads(sys.argv[1]))
