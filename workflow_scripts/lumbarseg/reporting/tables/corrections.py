"""The table of corrections: what was changed in each draft."""

from pathlib import Path

import pandas as pd

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.corrections import SESSION, mean_corrections
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.writing import WITHOUT_BACKGROUND, Table

_WORST = 3


@table(
    "table_corrections",
    section="Drafts",
    title="Corrections of drafts",
    caption="IoU of each draft and its corrected mask by class, and pixels changed, per cent, in the order of the sheet. Worst slices are "
    "those with most pixels changed, numbered from 0 at the patient's right.",
    needs={"corrections": "metrics/corrections.csv", "per_slice": "metrics/corrections_per_slice.csv"},
    of_study=False,
)
def table_corrections(corrections: Path, per_slice: Path, labels: LabelTable) -> Table:
    """Make the table of corrections."""
    return corrections_table(read_csv(corrections), read_csv(per_slice), labels)


def corrections_table(corrections: pd.DataFrame, per_slice: pd.DataFrame, labels: LabelTable) -> Table:
    """List the corrected sessions.

    Args:
        corrections: the table `metrics/corrections.csv`.
        per_slice: the table `metrics/corrections_per_slice.csv`.
        labels: the label table.

    Returns:
        Drawn, Participant, Session, Changed, IoU without background, that of each class, and Worst slices. A footnote names the
        masks that equal their drafts.
    """
    means = mean_corrections(corrections, labels.background)
    by_class = corrections.pivot_table(index="drawn", columns="class_id", values="iou", dropna=False)
    by_class = by_class.reindex(index=means["drawn"], columns=labels.foreground_ids)
    names = {c: labels[c].name for c in labels.foreground_ids}
    values = pd.DataFrame(
        {
            "Drawn": means["drawn"],
            "Participant": means["participant_id"],
            "Session": means["session_id"],
            "Changed": 100 * means["changed_share"],
            WITHOUT_BACKGROUND: 100 * means["mean_iou"],
            **{name: 100 * by_class[c].to_numpy() for c, name in names.items()},
            "Worst slices": [_worst(per_slice[per_slice["drawn"] == drawn]) for drawn in means["drawn"]],
        }
    )
    equal = means[means["changed_share"] == 0]
    labelled = [f"sub-{row.participant_id}_ses-{row.session_id}" for row in equal[SESSION].itertuples()]
    footnotes = [f"Equal to the draft: {', '.join(labelled)}."] if labelled else []
    return Table(values, footnotes=footnotes, best_bold=False)


def _worst(slices: pd.DataFrame) -> str:
    changed = slices[slices["changed_share"] > 0].sort_values("changed_share", ascending=False, kind="stable")
    return ", ".join(map(str, changed["slice"].head(_WORST)))
