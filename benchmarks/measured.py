"""What the benchmarks share: small studies' worth of data, child processes, tables."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES = 12
SIDE = 256


def medians(actions: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Time actions in turn, several times over, after one turn that does not count; give each one's median in seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for repetition in range(repetitions + 1):
        for name, act in actions.items():
            started = time.perf_counter()
            act()
            if repetition:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def in_child(script: str, *arguments: str, **environment: str) -> Any:
    """Run a benchmark's part in a process of its own; what it prints last is JSON."""
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env=os.environ | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    for row in rows:
        print(
            "| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row) + " |",
            flush=True,
        )


def made_up_slices(generator: np.random.Generator, count: int, side: int = SIDE) -> tuple[Any, Any]:
    """Make z-scores like those of slices (count, side, side, 2) float32, of 12-bit levels, and labels (count, side, side) uint8."""
    from scipy import ndimage  # not above: on a GPU's machine there may be Keras, NumPy and PyYAML alone

    smooth = ndimage.gaussian_filter(generator.normal(size=(count, side, side)), (0, 12, 12), mode="wrap")
    smooth /= smooth.std()
    labels = np.digitize(smooth, np.linspace(-1.6, 1.6, CLASSES - 1)).astype(np.uint8)
    levels = 400 + 150 * smooth[..., None] * (1, 0.7) + generator.normal(0, 20, (count, side, side, 2))
    second = ndimage.gaussian_filter(levels[..., 1], (0, 0.4, 0.4))  # a resampled T1w has no whole numbers
    images = np.stack([np.round(levels[..., 0]), second], axis=-1)
    return ((images - images.mean()) / images.std()).astype(np.float32), labels


def write_sessions(folder: Path, sessions: int, slices: int, distinct: int = 4) -> list[Path]:
    """Write the patches of sessions of `slices` patches each, the later ones as copies of the first; give their descriptions."""
    from lumbarseg.atomic_io import atomic_copy, read_json, write_json
    from lumbarseg.data.dataset import write_patches

    found = []
    for number in range(sessions):
        found.append(folder / f"{number}_patches.json")
        if number >= distinct:
            content = read_json(folder / f"{number % distinct}_patches.json")
            for kind in ("images", "labels"):
                name = f"{number}_{kind}.b2nd"
                atomic_copy(folder / content[kind], folder / name)
                content[kind] = name
            write_json(found[-1], content)
            continue
        images, labels = made_up_slices(np.random.default_rng(number), slices)
        write_patches(
            images, labels, side=SIDE, stride=192, background=0, description=found[-1],
            images_path=folder / f"{number}_images.b2nd", labels_path=folder / f"{number}_labels.b2nd",
        )  # fmt: skip
    return found


def training_options(**changes: Any) -> Any:
    """The paper's options of a training, with changes."""
    import yaml

    from lumbarseg.training.options import TrainingOptions

    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    names = [tissue["name"] for tissue in config["classes"]]
    return TrainingOptions.from_settings(
        config["training"] | changes, changes.get("epochs", 1), names, config["background"]
    )


def topologies() -> dict[str, dict[str, Any]]:
    """The paper's thirteen."""
    import yaml

    return yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["topologies"]
