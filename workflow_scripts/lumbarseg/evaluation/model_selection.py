"""Selection of the best experiment and fold by validation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lumbarseg.config.study import Model


def validation_iou(tuned: Iterable[Mapping[str, Any]], targets: Sequence[str]) -> pd.DataFrame:
    """Compute the IoU of each model on the validation slices of each fold.

    This is the mean over the classes without background of the IoU at the tuned threshold (Section 4.3.2). Classes that
    occur in no validation slice are left out.

    Args:
        tuned: contents of the files `thresholds/<model>/fold-<k>.json`, see `labelling.describe_tuning`.
        targets: names of all classes but the background.

    Returns:
        A row for each model and fold: model, fold, iou (0 … 1; 0 if no class has an IoU).
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
    """Select the experiment and fold of a bundle by validation IoU; the test patients are not used.

    `best` is the model with the highest mean over the folds, of equals the one with fewer networks, with TH labelling if the
    study has it. The fold is the one with the highest validation IoU of this model. A single fold is used, because the
    study's test results are those of single folds, and an ensemble of all folds would multiply the time.

    Args:
        validation: table of `validation_iou`.
        models: models of the study.
        experiment: name of an experiment, such as `UMD+TH`, or `best`.
        labellings: labellings of the study.

    Returns:
        Name of the experiment, and number of the fold.
    """
    if experiment == "best":
        sizes = {model.name: len(model.networks) for model in models}
        means = validation.groupby("model", sort=False)["iou"].mean()
        model = max(means.index, key=lambda name: (means[name], -sizes[name]))
        experiment = f"{model}+{'TH' if 'TH' in labellings else labellings[0]}"
    own = validation[validation["model"] == experiment.rpartition("+")[0]].set_index("fold")["iou"]
    return experiment, max(own.index.tolist(), key=own.to_dict().__getitem__)
