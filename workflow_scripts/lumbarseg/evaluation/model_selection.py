"""Which experiment and fold are best by validation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lumbarseg.config.study import Model


def validation_iou(tuned: Iterable[Mapping[str, Any]], targets: Sequence[str]) -> pd.DataFrame:
    """Give how well each model did on the validation slices of each fold.

    It is the mean over the classes, background left out, of a class's IoU against the rest at the threshold that was chosen for
    it (Section 4.3.2). A class that is in no validation slice is left out.

    Args:
        tuned: what the files `thresholds/<model>/fold-<k>.json` hold.
        targets: names of all classes but the background.

    Returns:
        A row a model and fold: model, fold, iou (0 … 1).
    """
    rows = []
    for one in tuned:
        places = [one["values"].index(one["thresholds"][name]) for name in targets]
        values = [one["iou"][name][place] for name, place in zip(targets, places, strict=True)]
        known = [value for value in values if value is not None]
        rows.append((one["model"], one["fold"], float(np.mean(known)) if known else 0.0))
    return pd.DataFrame(rows, columns=["model", "fold", "iou"])


def select_model(
    validation: pd.DataFrame, models: Sequence[Model], experiment: str, labellings: Sequence[str]
) -> tuple[str, int]:
    """Choose experiment and fold by validation; test patients have no say in it.

    The best model is the one with the highest mean over the folds; of equals the one with fewer networks. It is labelled by
    thresholds, which were tuned on these slices, where the study does so. Of the chosen model that fold goes into the bundle
    which did best on its own validation slices: one fold, for its test figures are those the study measured, and an ensemble
    of all folds costs as many times more.

    Args:
        validation: as `validation_iou` gives it.
        models: of the study.
        experiment: a name such as `UMD+TH`, or `best`.
        labellings: of the study.

    Returns:
        The experiment and the fold.
    """
    if experiment == "best":
        sizes = {model.name: len(model.networks) for model in models}
        means = validation.groupby("model", sort=False)["iou"].mean()
        model = max(means.index, key=lambda name: (means[name], -sizes[name]))
        experiment = f"{model}+{'TH' if 'TH' in labellings else labellings[0]}"
    own = validation[validation["model"] == experiment.rpartition("+")[0]].set_index("fold")["iou"]
    return experiment, max(own.index.tolist(), key=own.to_dict().__getitem__)
