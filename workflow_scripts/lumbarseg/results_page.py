"""The page of results: what was run, every table and every figure, in one file that opens without a network."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

CAPTIONS = {
    "fig_2": ("Figure 2", "Two slices of one session with their ground truth in the colours of the label table."),
    "fig_3": (
        "Figure 3",
        "From images to patches: T1w before and after registration, z-scores, and the overlapping patches.",
    ),
    "registration": (
        "Registration",
        "How far each T1w was moved onto its T2w, and how alike the two are. Flagged sessions bear their name; quality/index.html "
        "shows the slices of every session.",
    ),
    "fig_7": (
        "Figure 7",
        "Best, median and worst test slice of the last experiment shown. Above each prediction stands the slice's mean IoU; "
        "below it the place where predictions differ most from the truth.",
    ),
    "fig_8": (
        "Figure 8",
        "IoU of each class over the test slices. A star marks what differs from the reference (Wilcoxon signed-rank, "
        "unadjusted, slices as units; adjusted values and those by patient stand in metrics/wilcoxon.csv).",
    ),
    "fig_9": (
        "Figure 9",
        "Mean IoU without background against the number of networks in an ensemble, for each combiner.",
    ),
    "learning_loss": (
        "Loss by epoch",
        "Loss on training (thin) and validation patches (thick); the mark is the epoch that was kept.",
    ),
    "learning_accuracy": (
        "Accuracy by epoch",
        "Share of pixels of training (thin) and validation patches (thick) labelled right, background included; the mark is "
        "the epoch that was kept.",
    ),
    "learning_iou": (
        "IoU by epoch",
        "Mean IoU without background over the validation patches; the mark is the epoch that was kept. IoUs of each class "
        "stand in the networks' history.csv.",
    ),
    "threshold_curves": (
        "Thresholds",
        "IoU of each class on the validation slices against its threshold; the dot is the threshold that was chosen.",
    ),
    "calibration": (
        "Reliability",
        "Of the pixels that a model gives a score for a class, the share that is of it, on the test slices; below the diagonal a "
        "model is too sure. Numbers are expected calibration errors in per cent. Brier scores stand in "
        "metrics/calibration_errors.csv.",
    ),
    "uncertainty": (
        "Uncertainty",
        "Where the committee is wrong (the colour of what was missed; white where there is nothing), how spread its scores are "
        "(entropy), and how far its networks disagree (mutual information). Maps of all test sessions lie in uncertainty/.",
    ),
}
"""Title and caption of each figure: what to see in it."""

_TITLES = {
    "table_selection": "Selection of sessions",
    "table_registration": "Registration of T1w to T2w",
    "table_usage": "What it cost",
}
"""Of tables that are not the paper's."""

_OF_NETWORK = "network_"
_TEMPLATE = Path(__file__).with_suffix(".html")


def results_page(
    study: str,
    averages: pd.DataFrame,
    networks: pd.DataFrame,
    tables: Sequence[Path],
    figures: Sequence[Path],
    facts: Mapping[str, str],
) -> str:
    """Make the page.

    Args:
        study: the study's name.
        averages: experiment, mean, sd, folds of the mean IoU without background (0 … 1), as `metrics.over_folds` gives.
        networks: topology, trainable_parameters, multiply_accumulates (`metrics/networks.csv`).
        tables: CSV files written by `tables.write_table`.
        figures: PNG files; those named in `CAPTIONS` get a caption, `network_<topology>` stand in a section of their own.
        facts: what was run, name and text.

    Returns:
        The HTML, with the figures inside.
    """
    known = averages.dropna(subset=["mean"])
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        study=study,
        experiments=len(averages),
        best=None if known.empty else known.iloc[int(known["mean"].argmax())].to_dict(),
        facts=facts,
        tables=[_table(path) for path in tables],
        figures=[_figure(path) for path in figures if not path.stem.startswith(_OF_NETWORK)],
        networks=[
            {
                **_figure(path),
                "topology": row["topology"],
                "parameters": f"{row['trainable_parameters']:,}",
                "operations": f"{row['multiply_accumulates'] / 1e9:.1f}",
            }
            for row in networks.to_dict("records")
            for path in figures
            if path.stem == _OF_NETWORK + row["topology"]
        ],
    )


def _table(path: Path) -> dict[str, Any]:
    frame = pd.read_csv(path).drop(columns="class_id", errors="ignore")
    numbers = frame.select_dtypes("number")
    of_experiments = "class_name" in frame
    rows = []
    for place in range(len(frame)):
        printed = [_text(value, of_experiments) for value in frame.iloc[place]]
        best = max((_text(value, of_experiments) for value in numbers.iloc[place].dropna()), key=float, default=None)
        rows.append(
            [
                {"text": text, "best": of_experiments and name in numbers and text == best}
                for name, text in zip(frame.columns, printed, strict=True)
            ]
        )
    title = path.stem.replace("table_", "Table ")
    title = f"{title[:7]}.{title[7:]}" if title[6:7].isalpha() else title
    return {
        "title": _TITLES.get(path.stem, title),
        "columns": ["Class" if c == "class_name" else c for c in frame],
        "rows": rows,
    }


def _text(value: Any, per_cent: bool) -> str:
    if not isinstance(value, float):
        return str(value)
    if pd.isna(value):
        return ""
    return f"{value:.0f}" if value.is_integer() and not per_cent else f"{value:.1f}"


def _figure(path: Path) -> dict[str, str]:
    title, caption = CAPTIONS.get(path.stem, (path.stem.replace("_", " ").capitalize(), ""))
    return {
        "name": path.stem,
        "title": title,
        "caption": caption,
        "content": base64.b64encode(path.read_bytes()).decode("ascii"),
    }
