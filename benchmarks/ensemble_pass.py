"""Time the prediction of one synthetic slice by all models: `python benchmarks/ensemble_pass.py 8 16`, the values of m.

At m = 64 it takes most of an hour; `share 64` measures only (c), `memory 64 1024` only (d), for a size in pixels.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HOME = Path(__file__).parents[1]

import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402

from lumbarseg.config.study import Study  # noqa: E402
from lumbarseg.data.dataset import write_patches  # noqa: E402
from lumbarseg.evaluation import labelling  # noqa: E402
from lumbarseg.evaluation.labelling import THRESHOLDS, score_histogram  # noqa: E402
from lumbarseg.inference.prediction import label_sessions, write_labels  # noqa: E402
from lumbarseg.inference.session_files import SessionFiles, session_files  # noqa: E402
from lumbarseg.inference.sliding_window import SlidingWindowPredictor, initial_batch_size  # noqa: E402
from lumbarseg.models.build import build_network, multiply_accumulates  # noqa: E402
from lumbarseg.models.ensemble import Ensemble, build_meta_learner  # noqa: E402
from lumbarseg.training.device import prepare_device  # noqa: E402

STUDY = Study(yaml.safe_load((HOME / "config.yaml").read_text()))
CLASSES, CHANNELS = len(STUDY.config.classes), len(STUDY.config.channels)
SIDE, STRIDE = STUDY.config.patches.patch_size, STUDY.config.patches.stride
REPETITIONS = 3


def networks_of(width: int) -> dict:
    """Build the study's networks, untrained; the FCN's fully connected layers are scaled with m."""
    made = {}
    for name in STUDY.networks:
        topology = STUDY.topology(name)
        if topology["family"] == "fcn8":
            topology["fully_connected"] = 64 * width
        made[name] = build_network(
            topology, side=SIDE, channels=CHANNELS, classes=CLASSES, base_filters=width, seed=1, name=name
        )
    return made


def ensemble_of(networks: dict, models: list, width: int) -> Ensemble:
    """Build an ensemble of models and their networks, with untrained meta-learners."""
    meta_learners = {
        model.name: build_meta_learner(
            model, side=SIDE, classes=CLASSES, base_filters=width, channels=STUDY.config.stacking.channels, seed=1
        )
        for model in models
        if model.is_stacked
    }
    named = {name for model in models for name in model.networks}
    return Ensemble({name: network for name, network in networks.items() if name in named}, models, meta_learners)


def write_session(folder: Path, size: int) -> list[SessionFiles]:
    """Write one slice of noise, with diagonal stripes as truth."""
    generator = np.random.default_rng(0)
    truth = (np.add.outer(np.arange(size), np.arange(size)) // 40 % CLASSES).astype(np.uint8)[None]
    affine = np.array([[0, 0, 4.4, 0], [0.7, 0, 0, 0], [0, 0.7, 0, 0], [0, 0, 0, 1.0]])
    write_labels(folder / "mask.nii.gz", truth, nib.Nifti1Image(np.zeros((size, size, 1), np.uint8), affine))
    images = generator.normal(size=(1, size, size, CHANNELS)).astype(np.float32)
    write_patches(
        images,
        truth,
        side=SIDE,
        stride=STRIDE,
        background=0,
        description=folder / "patches.json",
        images_path=folder / "images.b2nd",
        labels_path=folder / "labels.b2nd",
    )
    return session_files([("p", "1")], [folder / "patches.json"], [folder / "mask.nii.gz"])


def seconds(work: Callable[[], object]) -> float:
    """Return the duration of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def prepared(ensemble: Ensemble, sessions: list, folder: Path) -> SimpleNamespace:
    """Prepare the labelling of sessions; the result has `call`, and the seconds of networks and combiners in the last call."""
    predictor = SlidingWindowPredictor(ensemble, initial_batch_size(STUDY.config.training.batch_size))
    found = SimpleNamespace(networks=0.0, combiners=0.0)

    def timed(work: Callable, kind: str) -> Callable:
        def call(*arguments: object) -> object:
            started = time.perf_counter()
            result = work(*arguments)
            setattr(found, kind, getattr(found, kind) + time.perf_counter() - started)
            return result

        return call

    predictor._forward = [timed(forward, "networks") for forward in predictor._forward]
    predictor._means = timed(predictor._means, "combiners")
    predictor._scores_of = {model: timed(scores_of, "combiners") for model, scores_of in predictor._scores_of.items()}
    thresholds = {model.name: np.full(CLASSES, 0.3, np.float32) for model in ensemble.models}

    def call() -> None:
        found.networks = found.combiners = 0.0
        label_sessions(
            predictor,
            sessions,
            thresholds,
            {f"{model}+{name}": folder / f"{model}+{name}" for model in thresholds for name in ("MAP", "TH")},
            labellings=["MAP", "TH"],
            background=STUDY.config.background,
            fold=1,
        )

    found.call = call
    return found


def measure_ensembles(width: int, folder: Path) -> None:
    """Compare one pass for E4 … E13 and all combiners with separate passes, on a 512 × 512 slice."""
    sessions, networks = write_session(folder, 512), networks_of(width)
    combined = [model for model in STUDY.models if model.combiner]
    together = prepared(ensemble_of(networks, combined, width), sessions, folder)
    alone = [
        prepared(
            ensemble_of(networks, [model for model in combined if model.ensemble == name], width), sessions, folder
        )
        for name in STUDY.ensembles
    ]
    for one in (together, *alone):
        one.call()
    rows = []
    for _ in range(REPETITIONS):
        rows.append(
            [
                seconds(together.call),
                together.networks,
                sum(seconds(one.call) for one in alone),
                sum(one.networks for one in alone),
            ]
        )
    at_once, networks_once, apart, networks_apart = np.median(rows, axis=0)
    print(
        f"(a) m = {width}: one pass {at_once:.1f} s ({networks_once:.1f} s networks), each ensemble separately {apart:.1f} s "
        f"({networks_apart:.1f} s networks): {apart / at_once:.1f} × (networks {networks_apart / networks_once:.1f} ×)"
    )


def measure_share(width: int, folder: Path) -> None:
    """Measure the shares of networks, combiners and pixels in all 186 experiments of a 512 × 512 slice."""
    networks = networks_of(width)
    operations = sum(multiply_accumulates(network) for network in networks.values()) / 1e9
    one = prepared(ensemble_of(networks, STUDY.models, width), write_session(folder, 512), folder)
    one.call()
    rows = [[seconds(one.call), one.networks, one.combiners] for _ in range(REPETITIONS)]
    total, network, combiner = np.median(rows, axis=0)
    print(
        f"(c) m = {width}: {total:.1f} s, networks {network:.1f} s ({operations:.1f} G multiply–accumulates per patch), "
        f"means and meta-learners {combiner:.1f} s, pixels {total - network - combiner:.1f} s "
        f"({100 * (total - network - combiner) / total:.0f} %)"
    )


def measure_tuning() -> None:
    """Compare the histogram of a 512 × 512 slice with one comparison for each threshold and class, and with searchsorted."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, CLASSES, (512, 512)).astype(np.uint8)
    # About one in eight scores of a trained network reaches 0.05, and all scores of an untrained one.
    for kind, sharpness in (("trained", 9.0), ("untrained", 0.1)):
        exponents = np.exp(sharpness * generator.normal(size=(512, 512, CLASSES)).clip(-4, 4))
        scores = (exponents / exponents.sum(axis=-1, keepdims=True)).astype(np.float32)

        def compare(scores: np.ndarray = scores) -> None:
            for tissue in range(CLASSES):
                true = truth == tissue
                for limit in THRESHOLDS.astype(np.float32):
                    passed = scores[..., tissue] >= limit
                    np.count_nonzero(passed & true), np.count_nonzero(passed | true)

        def count(scores: np.ndarray = scores) -> None:
            score_histogram(scores, truth)

        def count_with_searchsorted(scores: np.ndarray = scores) -> None:
            limits = THRESHOLDS.astype(np.float32)
            with mock.patch.object(labelling, "bins_of", lambda values: np.searchsorted(limits, values, side="right")):
                score_histogram(scores, truth)

        calls = (compare, count, count_with_searchsorted)
        for call in calls:
            call()
        rows = [[seconds(call) for call in calls] for _ in range(15)]
        compared, counted, searched = 1e3 * np.median(rows, axis=0)
        print(
            f"(b) tuning, {kind} network ({100 * (scores >= 0.05).mean():.0f} % of scores reach 0.05): comparisons "
            f"{compared:.1f} ms, histogram {counted:.1f} ms: {compared / counted:.1f} ×; with np.searchsorted {searched:.1f} ms"
        )


def measure_memory(width: int, size: int, folder: Path) -> None:
    """Measure the peak memory of labelling one slice with all models, and the size of the masks on disk."""
    prepared(ensemble_of(networks_of(width), STUDY.models, width), write_session(folder, size), folder).call()
    disk = sum(path.stat().st_size for path in folder.glob("*/*_dseg.nii.gz")) / 2**20
    # getrusage would include the peak of the parent process.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 2**20
    print(f"(d) m = {width}, {size} × {size}: peak {peak:.2f} GiB, masks of 186 experiments {disk:.1f} MiB")


if __name__ == "__main__":
    if sys.argv[1] == "memory":
        prepare_device("cpu", os.cpu_count() or 1, {"precision": "float32", "seed": 1, "xla": False})
        with tempfile.TemporaryDirectory() as place:
            measure_memory(int(sys.argv[2]), int(sys.argv[3]), Path(place))
        sys.exit()
    prepare_device("auto", os.cpu_count() or 1, {"precision": "float32", "seed": 1, "xla": False})
    if sys.argv[1] == "share":
        with tempfile.TemporaryDirectory() as place:
            measure_share(int(sys.argv[2]), Path(place))
        sys.exit()
    measure_tuning()
    for m in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as place:
            measure_share(m, Path(place))
            measure_ensembles(m, Path(place))
        for pixels in ("512", "1024"):  # a process of its own, for its peak
            subprocess.run([sys.executable, __file__, "memory", str(m), pixels], check=True)
