"""Draw docs/images/segmentation.png, the picture of the README: one slice of a phantom patient, its truth, its prediction.

After `make demo`: `.venv/bin/python docs/readme_picture.py results/demo`. The prediction is that of the demo's best experiment.
"""

import io
import sys
from pathlib import Path

import pandas as pd
import yaml
from gallery import write_small
from matplotlib.figure import Figure
from PIL import Image

from lumbarseg.geometry import read_view
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import (
    LINE,
    add_class_legend,
    coloured,
    grey_levels,
    legend_rows,
    new_figure,
    panel_box,
    show,
    styled,
)

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/images/segmentation.png"
SIDE, GAP, HEADING = 2.4, 0.08, 1.6 * LINE
"""Inches."""
LEGEND_COLUMNS = 6
OPACITY = 0.6


def best_experiment(metrics: Path, classes: LabelTable) -> str:
    """The experiment with the highest IoU over folds and classes, background left out."""
    iou = pd.read_csv(metrics / "iou.csv")
    return str(iou[iou["class_id"] != classes.background].groupby("experiment")["iou"].mean().idxmax())


def median_session(metrics: Path, experiment: str, classes: LabelTable) -> tuple[int, str, str]:
    """The first fold, and of its test sessions the one of median IoU: so the picture is neither the best nor the worst."""
    rows = pd.read_csv(metrics / "iou_per_slice.csv", dtype={"participant_id": str, "session_id": str})
    fold = int(rows["fold"].min())
    rows = rows[(rows["experiment"] == experiment) & (rows["fold"] == fold) & (rows["class_id"] != classes.background)]
    ranked = rows.groupby(["participant_id", "session_id"])["iou"].mean().sort_values()
    participant, session = ranked.index[len(ranked) // 2]
    return fold, participant, session


@styled
def segmentation_figure(results: Path, classes: LabelTable) -> Figure:
    """T2w, ground truth and prediction of a middle slice, side by side, above the legend of the classes."""
    experiment = best_experiment(results / "metrics", classes)
    fold, participant, session = median_session(results / "metrics", experiment, classes)
    name, folder = f"sub-{participant}_ses-{session}", f"sub-{participant}/ses-{session}"
    images = {
        "T2w": (results / f"nifti/{folder}/anat/{name}_T2w.nii.gz", "convert"),
        "Ground truth": (results / f"nifti/{folder}/anat/{name}_dseg.nii.gz", "convert"),
        f"Prediction ({experiment})": (results / f"masks/{experiment}/fold-{fold}/{name}_dseg.nii.gz", "reconstruct"),
    }
    views = {title: read_view(path, stage) for title, (path, stage) in images.items()}
    t2w, spacing = views["T2w"]
    middle = len(t2w) // 2
    legend = (legend_rows(classes.foreground_ids, LEGEND_COLUMNS) + 0.8) * LINE * 1.25
    figure = new_figure(3 * SIDE + 4 * GAP, HEADING + SIDE + legend)
    for number, (title, (view, _)) in enumerate(views.items()):
        axes = panel_box(figure, GAP + number * (SIDE + GAP), HEADING, SIDE, SIDE)
        image = grey_levels(t2w[middle]) if title == "T2w" else coloured(t2w[middle], view[middle], classes, OPACITY)
        show(axes, image, spacing, title)
    add_class_legend(figure, classes, classes.foreground_ids, LEGEND_COLUMNS)
    return figure


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: readme_picture.py RESULTS")
    results = Path(sys.argv[1])
    if not (results / "metrics/iou.csv").exists():
        sys.exit(f"{results}/metrics/iou.csv: no such file; run `make demo` first")
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    drawn = io.BytesIO()
    segmentation_figure(results, LabelTable(config["classes"], config["background"])).savefig(drawn, dpi=140)
    write_small(Image.open(drawn), PICTURE)
