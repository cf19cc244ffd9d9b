"""Rows of results with the IoU that a test asks for."""

import pandas as pd

from lumbarseg.evaluation.metrics import slice_iou


def rows(experiment: str, values: dict[tuple[str, int, int, int], float | None]) -> list[dict[str, object]]:
    """Rows with the IoU wanted: (patient, slice, fold, class) → IoU; None for a class absent from both."""
    made = []
    for (patient, place, fold, class_id), value in values.items():
        common = 0 if value is None else round(value * 1_000_000)
        made.append(
            {
                "experiment": experiment,
                "fold": fold,
                "participant_id": patient,
                "session_id": "s1",
                "slice": place,
                "class_id": class_id,
                "true_pixels": 0 if value is None else 1_000_000,
                "predicted_pixels": common,
                "common_pixels": common,
            }
        )
    return made


def one_class(experiment: str, values: list[float | None]) -> list[dict[str, object]]:
    return rows(experiment, {(f"p{place}", 0, 1, 0): value for place, value in enumerate(values)})


def table_of(*parts: list[dict[str, object]]) -> pd.DataFrame:
    return slice_iou(pd.DataFrame([row for part in parts for row in part]))
