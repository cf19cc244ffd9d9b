"""What a study cost: time, GPUs and memory by stage, and how well they were used."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

NETWORKS = ("train_network", "stack_fold", "threshold_fold", "reconstruct_fold")
"""The rules that run networks; each of their jobs has one GPU where there are GPUs."""


def usage_table(
    benchmarks: Mapping[str, Sequence[Path]],
    trainings: Iterable[tuple[str, pd.DataFrame]],
    meta_learners: Iterable[pd.DataFrame],
    operations: Mapping[str, float],
) -> pd.DataFrame:
    """Sum up time and memory of the jobs of a study.

    A job's time is that of its successful attempt, or of all epochs of an interrupted training if they took longer. The time of
    other failed attempts is not included.

    Args:
        benchmarks: by rule, Snakemake's benchmark files (s, max_rss in MiB, cpu_time in s); those of `train_network` and
            `stack_fold` in the order of `trainings` and `meta_learners`.
        trainings: topology and history of each training of a network (`loop.fit`).
        meta_learners: the histories of each fold's meta-learners, one row for each epoch and model; those of a fold share their time.
        operations: multiply-accumulates of each topology on one patch.

    Returns:
        One row for each rule, and one of sums: stage, jobs, hours, hours_with_networks (GPU hours where each job has a GPU),
        processors (used on average), most_memory (GiB), in_epochs (share of the training time spent in epochs, per cent), rate
        (10^12 floating-point operations a second in epochs, without validation); NaN where it does not apply.
    """
    trainings = list(trainings)
    epochs = {
        "train_network": [history["seconds"].sum() for _, history in trainings],
        "stack_fold": [history.drop_duplicates("epoch")["seconds"].sum() for history in meta_learners],
    }
    rows = []
    for rule, files in benchmarks.items():
        measured = pd.concat([pd.read_csv(file, sep="\t", na_values="-") for file in files])
        in_epochs = np.array(epochs[rule] if rule in epochs else [0.0] * len(files))
        taken = np.maximum(measured["s"], in_epochs).sum()
        rows.append(
            {
                "stage": rule,
                "jobs": len(files),
                "hours": taken / 3600,
                "hours_with_networks": taken / 3600 if rule in NETWORKS else float("nan"),
                "processors": measured["cpu_time"].sum() / measured["s"].sum(),
                "most_memory": measured["max_rss"].max() / 1024,
                "in_epochs": 100 * in_epochs.sum() / taken if rule in epochs else float("nan"),
                "rate": _rate(trainings, operations) if rule == "train_network" else float("nan"),
            }
        )
    frame = pd.DataFrame(rows)
    whole = {"stage": "all", "jobs": frame["jobs"].sum(), "most_memory": frame["most_memory"].max()}
    whole |= {name: frame[name].sum() for name in ("hours", "hours_with_networks")}
    return pd.concat([frame, pd.DataFrame([whole])], ignore_index=True)


def _rate(trainings: Sequence[tuple[str, pd.DataFrame]], operations: Mapping[str, float]) -> float:
    """10^12 floating-point operations a second in epochs: two for each multiply-accumulate, three passes for each patch."""
    done = sum(
        6 * operations[topology] * (history["patches_per_second"] * history["seconds"]).sum()
        for topology, history in trainings
    )
    return done / sum(history["seconds"].sum() for _, history in trainings) / 1e12
