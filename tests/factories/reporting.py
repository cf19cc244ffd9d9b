"""A small study and the metrics that its figures, tables and page are made from."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from factories.workflow import ROOT
from lumbarseg.config.study import Study
from lumbarseg.evaluation.calibration import calibration_errors, calibration_of_study
from lumbarseg.evaluation.confusion import confusion_rows
from lumbarseg.evaluation.corrections import session_corrections
from lumbarseg.evaluation.metrics import fold_iou, patient_iou, slice_iou, worst_cases
from lumbarseg.evaluation.ranking import rank_experiments
from lumbarseg.evaluation.statistics import wilcoxon
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.slices import Case, LabelledSlice, Preprocessing, UncertainSlice, store_slices

PATIENTS, SLICES, FOLDS = ("p1", "p2", "p3"), 2, (1, 2, 3)
SPACING = (0.6, 0.6)
BLOCKS = """block,kind,operation,rows,columns,channels,parameters,multiply_accumulates,sources
patch,patch,,32,32,2,0,0,
encoder_1,encoder,2 × conv 3×3; batch normalisation; ReLU,32,32,2,66,55296,patch
encoder_1_pool,pool,max pool 2×2,16,16,2,0,0,encoder_1
bottleneck,bottleneck,2 × conv 3×3; batch normalisation; ReLU,16,16,4,228,55296,encoder_1_pool
decoder_1_transposed_conv,raise,transposed conv 3×3,32,32,2,34,8192,bottleneck
decoder_1_concatenate,join,concatenate,32,32,4,0,0,encoder_1 decoder_1_transposed_conv
decoder_1,decoder,2 × conv 3×3; batch normalisation; ReLU,32,32,2,120,110592,decoder_1_concatenate
classifier,classifier,conv 1×1; softmax,32,32,12,36,24576,decoder_1"""


def report_study(**changes: Any) -> Study:
    """Return the paper's study with three networks, two ensembles and maps of uncertainty."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config |= {
        "train": ["U1", "UMD", "FCN"],
        "ensembles": {"E2": ["U1", "UMD"], "E3": ["U1", "UMD", "FCN"]},
        "combine": {"ensembles": ["E2", "E3"], "combiners": ["Arith", "Flip", "NAD", "TCD"]},
        "uncertainty": {"experiment": "E3+TCD+TH"},
        "figures": {"cases": ["U1+TH", "E3+TCD+TH"], "box_plots": ["U1+TH", "UMD+TH", "E3+TCD+TH"]},
        "tables": {"table_7": ["U1+TH", "UMD+TH", "E3+TCD+TH"], "table_A1": ["networks+MAP"]},
    }
    return Study(config | changes)


def write_metrics(results: Path, study: Study) -> None:
    """Write what figures, tables and the page of a study need: `metrics/`, `search/` and `folds.tsv`, made up."""
    generator = np.random.default_rng(1)
    plain = study.as_dict()
    labels = LabelTable(plain["classes"], plain["background"])
    (results / "metrics/slices").mkdir(parents=True)
    (results / "search").mkdir()
    frames = _counts(study, labels, generator) | _of_models(study, labels) | _of_sessions() | _of_networks(study)
    frames |= _of_corrections(labels, generator)
    for name, frame in frames.items():
        frame.to_csv(results / f"{name}.csv", index=False)
    assignments = [(patient, fold, "test" if patient == "p1" else "train") for patient in PATIENTS for fold in FOLDS]
    folds = pd.DataFrame(assignments, columns=["participant_id", "fold", "subset"])
    folds.to_csv(results / "folds.tsv", sep="\t", index=False)
    _write_slices(results / "metrics/slices", study, len(labels))


def _counts(study: Study, labels: LabelTable, generator: np.random.Generator) -> dict[str, pd.DataFrame]:
    keys = itertools.product(study.experiments, FOLDS, PATIENTS, ("01",), range(SLICES), range(len(labels)))
    columns = ["experiment", "fold", "participant_id", "session_id", "slice", "class_id"]
    counts = pd.DataFrame(keys, columns=columns)
    true = generator.integers(100, 1000, len(counts))
    common = np.rint(true * generator.uniform(0.3, 0.95, len(counts))).astype(np.int64)
    counts = counts.assign(true_pixels=true, predicted_pixels=true + 20, common_pixels=common)
    per_slice, per_patient = slice_iou(counts), patient_iou(counts, labels)
    shown = per_slice[per_slice["experiment"].isin(study.config.figures.cases) & (per_slice["class_id"] > 0)]
    distances = shown.drop(columns=["common_pixels", "iou"]).assign(hausdorff_95_mm=3.0, average_distance_mm=1.0)
    matrix = np.full((len(labels), len(labels)), 5) + 200 * np.eye(len(labels), dtype=np.int64)
    confusion = [confusion_rows(matrix, name, fold) for name in study.config.figures.cases for fold in FOLDS]
    return {
        "metrics/iou": fold_iou(counts, labels),
        "metrics/iou_per_slice": per_slice,
        "metrics/iou_per_patient": per_patient,
        "metrics/wilcoxon": wilcoxon(per_slice, study.config.comparison.reference, 20, 1),
        "metrics/ranking": rank_experiments(per_patient, labels.background, 20, 1),
        "metrics/worst_cases": worst_cases(per_slice, labels),
        "metrics/surface_distances": distances,
        "metrics/confusion": pd.concat(confusion),
    }


def _of_models(study: Study, labels: LabelTable) -> dict[str, pd.DataFrame]:
    models = [model.name for model in study.models]
    keys = list(itertools.product(models, FOLDS, enumerate(labels.names), (0.2, 0.4, 0.6)))
    curves = pd.DataFrame(
        [(model, fold, c, name, t, 0.8 - (t - 0.4) ** 2, t == 0.4) for model, fold, (c, name), t in keys],
        columns=["model", "fold", "class_id", "class_name", "threshold", "iou", "chosen"],
    )
    sums = pd.DataFrame(
        [(model, fold, c, t, t + 0.2, 100, int(90 * t), 100 * t, 5.0) for model, fold, (c, _), t in keys],
        columns=["model", "fold", "class_id", "score_from", "score_to", "pixels", "true_pixels", "score_sum",
                 "squared_error_sum"],
    )  # fmt: skip
    points = calibration_of_study(sums, labels.names)
    epochs = np.arange(1, 6)
    measures = ("loss", "accuracy", "val_loss", "val_accuracy", "val_patch_iou")
    histories = [
        pd.DataFrame({"topology": name, "fold": fold, "epoch": epochs, **dict.fromkeys(measures, 1 - 0.5 / epochs)})
        for name in study.networks
        for fold in FOLDS
    ]
    combinations = pd.DataFrame(
        {
            "topology": "U1", "optimiser": "adam", "learning_rate": [5e-6, 0.001], "activation": "relu", "diverged": False,
            "val_accuracy": [0.9, 0.8], "val_patch_iou": [0.5, 0.4], "best": [True, False], "present": [False, True],
        }
    )  # fmt: skip
    return {
        "metrics/threshold_curves": curves,
        "metrics/calibration": points,
        "metrics/calibration_errors": calibration_errors(points),
        "metrics/histories": pd.concat(histories),
        "search/combinations": combinations,
    }


def _of_corrections(labels: LabelTable, generator: np.random.Generator) -> dict[str, pd.DataFrame]:
    tables = []
    for drawn, patient in enumerate(PATIENTS, start=1):
        corrected = generator.integers(0, len(labels), (SLICES, 12, 10)).astype(np.uint8)
        draft = np.where(generator.uniform(size=corrected.shape) < 0.3 / drawn, 1, corrected).astype(np.uint8)
        identity = {"drawn": drawn, "participant_id": patient, "session_id": "01", "drafted_by": "UD+TH of starter"}
        tables.append(session_corrections(corrected, draft, labels, **identity))
    by_class, by_slice = (pd.concat(parts) for parts in zip(*tables, strict=True))
    return {"metrics/corrections": by_class, "metrics/corrections_per_slice": by_slice}


def _of_sessions() -> dict[str, pd.DataFrame]:
    cohort = {
        "participant_id": PATIENTS,
        "session_id": "01",
        "age": 40,
        "sex": "F",
        "weight": 70,
        "slices": 10,
        "patches": 90,
    }
    selection = {"participant_id": ["p4", *PATIENTS], "session_id": "01", "outcome": ["left out", "used", "used", "used"],
                 "criterion": ["both contrasts", "T2w Height", "", ""], "found": ["no T1w", "64", "", ""],
                 "expected": ["T2w and T1w", "320 to 1024", "", ""]}  # fmt: skip
    registration = {
        "session": [f"sub-{patient}_ses-01" for patient in PATIENTS], "engine": "itk", "degrees_of_freedom": 6,
        "shift_mm": [1.0, 2.0, 9.0], "rotation_degrees": 0.5, "corner_displacement_mm": [2.0, 3.0, 12.0], "before": 0.9,
        "after": 1.2, "overlap_before": 1.0, "overlap_after": 0.97, "seconds": 3.0, "flag": ["", "", "unusual shift or rotation"],
        "uncovered": ["", "", "left 12 mm"],
    }  # fmt: skip
    usage = {"stage": ["train_network", "all"], "jobs": [9, 9], "hours": [1.0, 1.0], "hours_with_networks": [1.0, 1.0],
             "processors": [2.0, None], "most_memory": [3.0, 3.0], "in_epochs": [90.0, None], "rate": [0.1, None]}  # fmt: skip
    return {
        "metrics/cohort": pd.DataFrame(cohort).assign(T2w_RepetitionTime=3.0, T1w_RepetitionTime=0.5),
        "metrics/selection": pd.DataFrame(selection),
        "metrics/registration": pd.DataFrame(registration),
        "metrics/usage": pd.DataFrame(usage),
    }


def _of_networks(study: Study) -> dict[str, pd.DataFrame]:
    rows = [line.split(",") for line in BLOCKS.splitlines()]
    blocks = pd.concat(pd.DataFrame(rows[1:], columns=rows[0]).assign(topology=name) for name in study.networks)
    counts = {"topology": study.networks, "trainable_parameters": 34_586_956, "multiply_accumulates": 51_360_000_000}
    return {"metrics/networks": pd.DataFrame(counts), "metrics/network_blocks": blocks}


def _write_slices(folder: Path, study: Study, classes: int) -> None:
    truth = np.broadcast_to(np.arange(32) * classes // 32, (48, 32)).astype(np.uint8)
    image, wrong = truth * 9.0, np.roll(truth, 3, axis=1)
    cases = study.config.figures.cases
    store_slices(folder / "cases.npz", [Case(name, image, image, truth, dict.fromkeys(cases, wrong), SPACING) for name in ("best", "worst")])  # fmt: skip
    for name in cases:
        store_slices(folder / f"worst_{name}.npz", [Case("p1, slice 0, fold 1", image, None, truth, {name: wrong}, SPACING)])  # fmt: skip
    store_slices(folder / "examples.npz", [LabelledSlice(image, image, truth, SPACING, "middle")])
    steps = Preprocessing(image, image, image, image, image, truth, SPACING, [0, 16], [0], 32)
    store_slices(folder / "preprocessing.npz", [steps])
    uncertain = UncertainSlice("best", image, truth, wrong, image, image, SPACING)
    store_slices(folder / "uncertainty.npz", [uncertain])
