"""The page of results: what was run, every table and every figure, in one file that opens without a network."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from lumbarseg.reporting.tables.writing import Cell, Cells, read_markdown

SECTIONS = (
    "Data",
    "Segmentation",
    "Comparison",
    "Errors",
    "Uncertainty and calibration",
    "Training",
    "Further figures",
)
"""Where figures stand on the page, in this order; a section without figures is left out."""

CAPTIONS = {
    "fig_2": (
        "Data",
        "Figure 2",
        "Two slices of one session with their ground truth in the colours of the label table.",
    ),
    "fig_3": (
        "Data",
        "Figure 3",
        "From images to patches: T1w before and after registration, z-scores, and the overlapping patches. In the checkerboards "
        "edges that go on from field to field are registered.",
    ),
    "registration": (
        "Data",
        "Registration",
        "How far each T1w was moved onto its T2w, and how alike the two are. Flagged sessions bear their name; quality/index.html "
        "shows the slices of every session.",
    ),
    "fig_7": (
        "Segmentation",
        "Figure 7",
        "Best, median and worst test slice of the last experiment shown, and those chosen by hand. Above each prediction stands the "
        "slice's mean IoU; below it the place where predictions differ most from the truth.",
    ),
    "fig_8": (
        "Comparison",
        "Figure 8",
        "IoU of each class over the test slices. A star marks what differs from the reference (Wilcoxon signed-rank, "
        "unadjusted, slices as units, as in the paper). Slices of one patient are alike, so look at the adjusted values and those by "
        "patient in the tables before you believe a star.",
    ),
    "fig_9": (
        "Comparison",
        "Figure 9",
        "Mean IoU without background against the number of networks in an ensemble, for each combiner. A line above the horizontal "
        "one is better than the best single network.",
    ),
    "ranking": (
        "Comparison",
        "Ranking",
        "The best experiments. Where bars overlap, another set of patients might well have put them in another order.",
    ),
    "patients": (
        "Comparison",
        "Patients",
        "IoU of every test patient and class. A dark row is a patient that is difficult as a whole, a dark column a class that is "
        "difficult for all.",
    ),
    "confusion": (
        "Errors",
        "Confusion matrices",
        "Which classes are taken for which, all test slices and folds together. Off the diagonal, most pixels go to the background "
        "or to the tissue beside.",
    ),
    "learning_loss": (
        "Training",
        "Loss by epoch",
        "Loss on training (thin) and validation patches (thick); the mark is the epoch that was kept.",
    ),
    "learning_accuracy": (
        "Training",
        "Accuracy by epoch",
        "Share of pixels of training (thin) and validation patches (thick) labelled right, background included; the mark is "
        "the epoch that was kept.",
    ),
    "learning_iou": (
        "Training",
        "IoU by epoch",
        "Mean IoU without background over the validation patches; the mark is the epoch that was kept. IoUs of each class "
        "stand in the networks' history.csv.",
    ),
    "threshold_curves": (
        "Training",
        "Thresholds",
        "IoU of each class on the validation slices against its threshold; the dot is the threshold that was chosen. A flat curve "
        "says that the threshold hardly matters.",
    ),
    "calibration": (
        "Uncertainty and calibration",
        "Reliability",
        "Of the pixels that a model gives a score for a class, the share that is of it, on the test slices; below the diagonal a "
        "model is too sure. Numbers are expected calibration errors in per cent. Brier scores stand in "
        "metrics/calibration_errors.csv.",
    ),
    "uncertainty": (
        "Uncertainty and calibration",
        "Uncertainty",
        "Where the ensemble is wrong (the colour of what was missed; white where there is nothing), how spread its scores are "
        "(entropy), and how far its networks disagree (mutual information). Maps of all test sessions lie in uncertainty/.",
    ),
}
"""Section, title and caption of each figure: what to see in it."""

_TITLES = {
    "table_selection": "Selection of sessions",
    "table_registration": "Registration of T1w to T2w",
    "table_usage": "What it cost",
    "table_ranking": "Ranking of the experiments",
    "table_measures": "Overlap and distances",
    "table_wilcoxon_slice": "Differences from the reference, slices as units",
    "table_wilcoxon_patient": "Differences from the reference, patients as units",
}
_OF_NETWORK, _OF_ERRORS, _COMPANION = "network_", "errors_", "_published"
_LARGE = 500_000
"""Bytes of a PNG above which it goes onto the page as WebP; the PNG stands in `figures/` as it is."""
_TEMPLATE = Path(__file__).with_suffix(".html")


def results_page(
    study: str,
    ranking: pd.DataFrame,
    worst_cases: pd.DataFrame,
    networks: pd.DataFrame,
    tables: Sequence[Path],
    figures: Sequence[Path],
    settings: Mapping[str, str],
    differences_from: Sequence[tuple[str, str, str]] = (),
) -> str:
    """Make the page.

    Args:
        study: the study's name.
        ranking: the table `metrics/ranking.csv`.
        worst_cases: the table `metrics/worst_cases.csv`.
        networks: topology, trainable_parameters, multiply_accumulates (`metrics/networks.csv`).
        tables: Markdown files written by `tables.write_table`; `<name>_published` is folded away below `<name>`.
        figures: PNG files; those named in `CAPTIONS` get a caption and a section, `network_<topology>` and
            `errors_<experiment>` stand in sections of their own.
        settings: what was run, name and text.
        differences_from: settings that differ from the paper's: key, value of this study, value of the paper's.

    Returns:
        The HTML, with the figures inside.
    """
    known = ranking.dropna(subset=["mean_iou"])
    listed = set(worst_cases["experiment"])
    shown = [_figure(path) for path in figures if not path.stem.startswith((_OF_NETWORK, _OF_ERRORS))]
    errors = {path.stem.removeprefix(_OF_ERRORS): _figure(path) for path in figures if path.stem.startswith(_OF_ERRORS)}
    companions = {path.stem.removesuffix(_COMPANION): path for path in tables if path.stem.endswith(_COMPANION)}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["anchor"] = anchor
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        study=study,
        experiments=len(ranking),
        best=None if known.empty else known.iloc[0].to_dict(),
        settings=settings,
        differences_from=differences_from,
        tables=[
            {
                **_table(path, listed),
                "companion": _table(companions[path.stem], listed) if path.stem in companions else None,
            }
            for path in tables
            if not path.stem.endswith(_COMPANION)
        ],
        sections={
            section: found
            for section in SECTIONS
            if (found := [figure for figure in shown if figure["section"] == section])
        },
        worst={
            experiment: rows.to_dict("records") for experiment, rows in worst_cases.groupby("experiment", sort=False)
        },
        errors=errors,
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


def anchor(name: str) -> str:
    """Turn a name into one that can stand in a link: `E12+NAD+TH` → `E12-NAD-TH`."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name)


def _table(path: Path, listed: set[str]) -> dict[str, Any]:
    cells: Cells = read_markdown(path)

    def link(text: str) -> str:
        return f"#worst-{anchor(text)}" if text in listed else ""

    def described(cell: Cell, numeric: bool) -> dict[str, Any]:
        return {"cell": cell, "link": link(cell.text), "numeric": numeric}

    return {
        "name": path.stem,
        "title": _title(path.stem),
        "caption": cells.caption,
        "columns": [
            {"text": text, "link": link(text), "numeric": numeric}
            for text, numeric in zip(cells.headings, cells.numeric, strict=True)
        ],
        "rows": [[described(*pair) for pair in zip(row, cells.numeric, strict=True)] for row in cells.rows],
        "footnotes": cells.footnotes,
    }


def _title(name: str) -> str:
    if name in _TITLES:
        return _TITLES[name]
    number = name.removeprefix("table_").removesuffix(_COMPANION)
    number = f"{number[0]}.{number[1:]}" if number[:1].isalpha() and number[1:].isdigit() else number
    return f"Table {number}" + (" beside the paper's values" if name.endswith(_COMPANION) else "")


def _figure(path: Path) -> dict[str, str]:
    unknown = (SECTIONS[-1], path.stem.replace("_", " ").capitalize(), "")
    section, title, caption = CAPTIONS.get(path.stem, unknown)
    return {
        "name": path.stem,
        "section": section,
        "title": title,
        "caption": caption,
        "content": _embedded(path),
    }


def _embedded(path: Path) -> str:
    """Give a picture as a link that holds it; grey levels of images, which PNG hardly shortens, as WebP of high quality."""
    content, kind = path.read_bytes(), "png"
    if len(content) > _LARGE:
        shorter = io.BytesIO()
        Image.open(path).convert("RGB").save(shorter, "WEBP", quality=88, method=4)
        content, kind = shorter.getvalue(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
