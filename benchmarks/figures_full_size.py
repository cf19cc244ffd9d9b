"""Time `snakemake figures tables` at the paper's size, from metrics alone: `python benchmarks/figures_full_size.py [folder]`.

The metrics of 186 experiments × 3 folds on 33 test patients of 181 (396 slices, 12 classes) are made up; everything after them is
what a user calls. A second argument takes another Python, of an environment without TensorFlow, for the timed part.
"""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from measured import ROOT, made_up_slices

from lumbarseg.config.study import Study
from lumbarseg.evaluation.calibration import calibration_errors
from lumbarseg.evaluation.confusion import confusion_rows
from lumbarseg.evaluation.metrics import confusion_per_slice, fold_iou, patient_iou, slice_iou, worst_cases
from lumbarseg.evaluation.ranking import rank_experiments
from lumbarseg.evaluation.statistics import wilcoxon
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.environment import describe_machine
from lumbarseg.reporting.slices import Case, LabelledSlice, Preprocessing, store_slices

PARTS = ("Snakefile", "config.yaml", "envs", "rules", "workflow_scripts", "profiles", "slurm")
PATIENTS, TESTED, SLICES = 181, 33, 12


def made_up_counts(study: Study, generator: np.random.Generator) -> pd.DataFrame:
    """Counts of pixels of every experiment, fold, test slice and class, with experiments, patients and classes of unlike difficulty."""
    patients = [f"p{number:03d}" for number in range(TESTED)]
    classes = len(study.config.classes)
    shape = (len(study.experiments), len(study.folds), TESTED, SLICES, classes)
    sizes = generator.integers(800, 30_000, (1, 1, TESTED, SLICES, classes))
    sizes = np.where(generator.random(sizes.shape) < 0.05, 0, sizes)
    quality = 1.2 + generator.normal(0, 0.05, (shape[0], 1, 1, 1, 1)) + generator.normal(0, 0.2, (1, 1, TESTED, 1, 1))
    quality = quality + np.linspace(0.8, -0.8, classes) + generator.normal(0, 0.2, shape)
    share = 1 / (1 + np.exp(-quality))
    true = np.broadcast_to(sizes, shape)
    predicted = np.rint(true * generator.uniform(0.9, 1.1, shape)).astype(np.int64)
    common = np.rint(np.minimum(true, predicted) * share).astype(np.int64)
    keys = np.indices(shape, dtype=np.int32).reshape(5, -1)
    return pd.DataFrame(
        {
            "experiment": pd.Categorical.from_codes(keys[0], study.experiments),
            "fold": keys[1] + 1,
            "participant_id": pd.Categorical.from_codes(keys[2], patients),
            "session_id": pd.Categorical.from_codes(np.zeros(keys.shape[1], np.int8), ["01"]),
            "slice": keys[3],
            "class_id": keys[4],
            "true_pixels": true.ravel(),
            "predicted_pixels": predicted.ravel(),
            "common_pixels": common.ravel(),
        }
    )


def write_metrics(results: Path, study: Study, seed: int = 1) -> dict[str, float]:
    """Write `folds.tsv` and everything below `metrics/` but what the target `networks` makes; give the seconds of the evaluation."""
    generator = np.random.default_rng(seed)
    metrics, labels = results / "metrics", LabelTable(study.as_dict()["classes"], study.config.background)
    metrics.mkdir(parents=True, exist_ok=True)
    comparison = study.config.comparison
    drawing = (comparison.resamples, comparison.seed)
    seconds = {}

    def timed(name: str, frame: pd.DataFrame, started: float) -> pd.DataFrame:
        frame.to_csv(metrics / f"{name}.csv", index=False)
        seconds[name] = time.perf_counter() - started
        return frame

    counts = made_up_counts(study, generator)
    per_slice = timed("iou_per_slice", slice_iou(counts), time.perf_counter())
    per_patient = timed("iou_per_patient", patient_iou(counts, labels), time.perf_counter())
    started = time.perf_counter()
    timed("iou", fold_iou(counts, labels), started)
    started = time.perf_counter()
    timed("wilcoxon", wilcoxon(per_slice, comparison.reference, *drawing), started)
    started = time.perf_counter()
    timed("ranking", rank_experiments(per_patient, labels.background, *drawing), started)
    started = time.perf_counter()
    timed("worst_cases", worst_cases(per_slice, labels), started)
    shown = study.columns(study.config.figures.cases)
    _write_others(results, study, labels, shown, generator)
    _write_slices(metrics / "slices", study, labels, shown, generator)
    (metrics / "machine.json").write_text(json.dumps(describe_machine()))
    return seconds


def _write_others(
    results: Path, study: Study, labels: LabelTable, shown: list[str], generator: np.random.Generator
) -> None:
    patients = [f"p{number:03d}" for number in range(PATIENTS)]
    subsets = [
        (patient, fold, "test" if number < TESTED else "validation" if number % 3 + 1 == fold else "train")
        for number, patient in enumerate(patients)
        for fold in study.folds
    ]
    pd.DataFrame(subsets, columns=["participant_id", "fold", "subset"]).to_csv(
        results / "folds.tsv", sep="\t", index=False
    )
    cohort: dict[str, Any] = {
        "participant_id": patients,
        "session_id": "01",
        "age": generator.integers(9, 88, PATIENTS),
    }
    cohort |= {
        "sex": generator.choice(["F", "M"], PATIENTS),
        "weight": generator.integers(29, 120, PATIENTS),
        "site": "north",
    }
    cohort |= {"slices": SLICES, "patches": SLICES * 9, "T2w_RepetitionTime": 3.0, "T1w_RepetitionTime": 0.5}
    pd.DataFrame(cohort).to_csv(results / "metrics/cohort.csv", index=False)
    _write_session_metrics(results / "metrics", patients, generator)
    epochs = np.arange(1, study.config.training.epochs + 1)
    histories = [
        pd.DataFrame({"topology": name, "fold": fold, "epoch": epochs})
        .assign(**{key: np.exp(-epochs / 60) for key in ("loss", "val_loss")})
        .assign(**{key: 1 - 0.3 * np.exp(-epochs / 60) for key in ("accuracy", "val_accuracy", "val_patch_iou")})
        for name in study.networks
        for fold in study.folds
    ]
    pd.concat(histories).to_csv(results / "metrics/histories.csv", index=False)
    models = list(dict.fromkeys(model.name for model in study.models))
    keys = list(itertools.product(models, study.folds, enumerate(labels.names), np.arange(1, 20) / 20))
    curves = pd.DataFrame(
        [(model, fold, c, name, round(t, 2), 0.8 - (t - 0.4) ** 2, t == 0.4) for model, fold, (c, name), t in keys],
        columns=["model", "fold", "class_id", "class_name", "threshold", "iou", "chosen"],
    )
    curves.to_csv(results / "metrics/threshold_curves.csv", index=False)
    bins = np.arange(20) / 20
    keys = list(itertools.product(models, study.folds, enumerate(labels.names), bins))
    sums = pd.DataFrame(
        [
            (m, f, c, name, low, low + 0.05, 1000, int(1000 * low), 1000 * (low + 0.02), 50.0)
            for m, f, (c, name), low in keys
        ],
        columns=[
            "model",
            "fold",
            "class_id",
            "class_name",
            "score_from",
            "score_to",
            "pixels",
            "true_pixels",
            "score_sum",
            "squared_error_sum",
        ],
    )
    points = sums.assign(mean_score=sums["score_sum"] / 1000, true_share=sums["true_pixels"] / 1000)
    points.to_csv(results / "metrics/calibration.csv", index=False)
    calibration_errors(points).to_csv(results / "metrics/calibration_errors.csv", index=False)
    distances = pd.DataFrame(
        itertools.product(shown, study.folds, patients[:TESTED], ["01"], range(SLICES), labels.foreground_ids),
        columns=["experiment", "fold", "participant_id", "session_id", "slice", "class_id"],
    ).assign(true_pixels=900, predicted_pixels=910)
    for name in ("hausdorff_95_mm", "average_distance_mm"):
        distances[name] = generator.gamma(2, 0.5, len(distances))
    distances.to_csv(results / "metrics/surface_distances.csv", index=False)


def _write_session_metrics(metrics: Path, patients: list[str], generator: np.random.Generator) -> None:
    identity = {"participant_id": patients, "session_id": "01"}
    selection = {**identity, "outcome": "used", "criterion": "", "found": "", "expected": ""}
    registration = {
        "session": [f"sub-{patient}_ses-01" for patient in patients],
        "engine": "itk",
        "degrees_of_freedom": 6,
    }
    registration |= {"shift_mm": generator.gamma(2, 1, PATIENTS), "rotation_degrees": generator.gamma(2, 0.3, PATIENTS)}
    registration |= {
        "corner_displacement_mm": 3.0,
        "before": 0.9,
        "after": 1.2,
        "overlap_before": 1.0,
        "overlap_after": 0.97,
    }
    registration |= {"seconds": 5.0, "flag": ""}
    stages = ["patch_session", "train_network", "stack_fold", "threshold_fold", "reconstruct_fold", "all"]
    usage = {"stage": stages, "jobs": 39, "hours": 10.0, "hours_with_networks": 10.0, "processors": 2.0}
    usage |= {"most_memory": 8.0, "in_epochs": 90.0, "rate": 1.0}
    for name, columns in (("selection", selection), ("registration", registration), ("usage", usage)):
        pd.DataFrame(columns).to_csv(metrics / f"{name}.csv", index=False)


def _write_slices(
    folder: Path, study: Study, labels: LabelTable, shown: list[str], generator: np.random.Generator
) -> None:
    images, truths = made_up_slices(generator, 4, 512)
    t2w, t1w, spacing = images[..., 0], images[..., 1], (0.6, 0.6)
    predictions = [np.roll(truth, 3, axis=1) for truth in truths]
    folder.mkdir(exist_ok=True)
    cases = [
        Case(name, t2w[place], t1w[place], truths[place], dict.fromkeys(shown, predictions[place]), spacing)
        for place, name in enumerate(("best", "median", "worst"))
    ]
    store_slices(folder / "cases.npz", cases)
    for name in shown:
        worst = [
            Case(f"p{k:03d}, slice {k}, fold 1", t2w[k], t1w[k], truths[k], {name: predictions[k]}, spacing)
            for k in range(3)
        ]
        store_slices(folder / f"worst_{name}.npz", worst)
    store_slices(
        folder / "examples.npz", [LabelledSlice(t2w[k], t1w[k], truths[k], spacing, f"slice {k}") for k in range(2)]
    )
    steps = Preprocessing(
        t2w[0],
        t1w[0],
        t1w[0],
        t2w[0],
        t1w[0],
        truths[0],
        spacing,
        [0, 128, 256],
        [0, 128, 256],
        study.config.patches.patch_size,
    )
    store_slices(folder / "preprocessing.npz", [steps])
    confusion = confusion_per_slice(truths, np.array(predictions), len(labels)).sum(axis=0)
    rows = [confusion_rows(confusion, name, fold) for name in shown for fold in study.folds]
    pd.concat(rows).to_csv(folder.parent / "confusion.csv", index=False)


if __name__ == "__main__":
    home = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    python = sys.argv[2] if len(sys.argv) > 2 else sys.executable
    home.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, home / part)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    paper = Study(config)
    options = ["--cores", "2", "--quiet", "all"]
    subprocess.run([sys.executable, "-m", "snakemake", "networks", *options], cwd=home, check=True)
    for name, seconds in write_metrics(home / "results" / paper.config.study, paper).items():
        print(f"evaluation, {name}.csv: {seconds:.1f} s", flush=True)
    for targets in (["figures", "tables"], ["all"]):
        started = time.perf_counter()
        call = [python, "-m", "snakemake", *targets, *options, "--config", "metrics_only=true"]
        subprocess.run(call, cwd=home, check=True)
        print(f"snakemake {' '.join(targets)}: {time.perf_counter() - started:.1f} s", flush=True)
    page = home / "results" / paper.config.study / "report/results.html"
    print(f"results.html: {page.stat().st_size / 2**20:.1f} MiB")
