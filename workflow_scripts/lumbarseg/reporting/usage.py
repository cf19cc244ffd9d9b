"""What a study cost: time, cards and memory by stage, and how well they were used."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

NETWORKS = ("train_network", "stack_fold", "threshold_fold", "reconstruct_fold")
"""The rules that run networks; each of their jobs has one card where there are cards."""


def usage_table(
    benchmarks: Mapping[str, Sequence[Path]],
    trainings: Iterable[tuple[str, pd.DataFrame]],
    meta_learners: Iterable[pd.DataFrame],
    operations: Mapping[str, float],
) -> pd.DataFrame:
    """Sum up what the jobs of a study took.

    A job's time is that of the attempt that ended well, or, of a training that was interrupted, that of all its epochs where
    this is more. So what attempts took that came to nothing is not in it.

    Args:
        benchmarks: by rule, Snakemake's benchmark files (s, max_rss in MiB, cpu_time in s); those of `train_network` and
            `stack_fold` in the order of `trainings` and `meta_learners`.
        trainings: topology and history of each training of a network (`loop.fit`).
        meta_learners: the histories of each fold's meta-learners, a row an epoch and model; those of a fold have their time in common.
        operations: multiply-accumulates of each topology on one patch.

    Returns:
        A row a rule, and two of sums: stage, jobs, hours, hours_with_networks (GPU hours where each job has a card),
        processors (used on average), most_memory (GiB), in_epochs (share of a training's time that its epochs took, per
        cent), rate (10^12 floating-point operations a second in epochs, those of validation left out); NaN where it does not
        apply.
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
    """Floating-point operations a second of all trainings' epochs: two a multiply-accumulate, three passes' worth a patch."""
    done = sum(
        6 * operations[topology] * (history["patches_per_second"] * history["seconds"]).sum()
        for topology, history in trainings
    )
    return done / sum(history["seconds"].sum() for _, history in trainings) / 1e12
