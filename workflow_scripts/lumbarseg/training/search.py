"""The results of a hyper-parameter search: trials, and combinations ranked for each topology (Section 5.2, Table 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lumbarseg.config.study import HYPER_PARAMETERS

CRITERIA = {"val_accuracy": "Accuracy", "val_patch_iou": "Mean IoU"}
"""Columns of a history by which the best epoch may be chosen, and their names in the table."""

_COMBINATION: list[Any] = ["topology", *HYPER_PARAMETERS]


def trial_rows(
    trials: Sequence[Mapping[str, Any]], histories: Sequence[pd.DataFrame], epochs: int, criterion: str
) -> pd.DataFrame:
    """Return each trial's number of epochs and its metrics at the best epoch.

    Args:
        trials: topology, optimiser, learning_rate, activation and fold of each.
        histories: their histories in the same order; shorter than `epochs` where the loss diverged.
        epochs: number of epochs of a complete trial.
        criterion: the column whose first greatest value marks the best epoch.

    Returns:
        topology, optimiser, learning_rate, activation, fold, epochs (finished), best_epoch, val_accuracy, val_patch_iou
        (0 … 1, at the best epoch; missing if no epoch was finished) and diverged.
    """
    rows = []
    for trial, history in zip(trials, histories, strict=True):
        best: Mapping[Any, Any] = {}
        if len(history) and history[criterion].notna().any():
            best = history.iloc[int(history[criterion].argmax())].to_dict()
        rows.append(
            {
                **{key: trial[key] for key in (*_COMBINATION, "fold")},
                "epochs": len(history),
                "best_epoch": int(best["epoch"]) if best else None,
                **{key: best.get(key, np.nan) for key in CRITERIA},
                "diverged": len(history) < epochs,
            }
        )
    return pd.DataFrame(rows).astype({"best_epoch": "Int64"})


def combinations(trials: pd.DataFrame, present: Mapping[str, Mapping[str, Any]], criterion: str) -> pd.DataFrame:
    """Average trials over the folds and rank each topology's combinations.

    Args:
        trials: from `trial_rows`.
        present: each topology's optimiser, learning_rate and activation in the config.
        criterion: the column by which combinations are ranked.

    Returns:
        topology, optimiser, learning_rate, activation, val_accuracy, val_patch_iou (means over the folds, 0 … 1), diverged
        (in any fold; such a combination is never the best), best and present (both bool). Topologies in the order of `trials`,
        their combinations from the best down.
    """
    means = trials.groupby(_COMBINATION, sort=False, as_index=False).agg(
        val_accuracy=("val_accuracy", "mean"), val_patch_iou=("val_patch_iou", "mean"), diverged=("diverged", "any")
    )
    means["best"] = False
    sound = means[~means["diverged"] & means[criterion].notna()]
    means.loc[sound.groupby("topology")[criterion].idxmax(), "best"] = True
    means["present"] = [
        all(present[row["topology"]][key] == row[key] for key in HYPER_PARAMETERS) for _, row in means.iterrows()
    ]
    order = {name: place for place, name in enumerate(dict.fromkeys(means["topology"]))}
    return means.sort_values(
        ["topology", "diverged", criterion],
        ascending=[True, True, False],
        kind="stable",
        key=lambda column: column.map(order) if column.name == "topology" else column,
        ignore_index=True,
    )


def search_table(ranked: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table of a search for readers.

    Args:
        ranked: from `combinations`.

    Returns:
        Topology, Optimiser, Learning rate, Act-Conv (as Table 4 names them), Accuracy, Mean IoU (per cent) and Choice
        (`best`, `in the config`, `diverged`); and footnotes: what to write into the config for each best that is not in it.
    """
    choice = [
        ", ".join(word for word, holds in zip(("best", "in the config", "diverged"), flags, strict=True) if holds)
        for flags in zip(ranked["best"], ranked["present"], ranked["diverged"], strict=True)
    ]
    table = pd.DataFrame(
        {
            "Topology": ranked["topology"],
            "Optimiser": ranked["optimiser"],
            "Learning rate": ranked["learning_rate"].map("{:g}".format),
            "Act-Conv": ranked["activation"],
            **{name: 100 * ranked[column] for column, name in CRITERIA.items()},
            "Choice": choice,
        }
    )
    better = ranked[ranked["best"] & ~ranked["present"]]
    footnotes = [
        f"To take the best for {row.topology}, write {{optimiser: {row.optimiser}, learning_rate: {row.learning_rate:.10g}, "
        f"activation: {row.activation}}} into its entry of topologies."
        for row in better.itertuples()
    ]
    return table, footnotes
