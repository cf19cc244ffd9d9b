"""Draw docs/images/segmentation.png, the picture of the README: `.venv/bin/python docs/readme_picture.py` after `make demo`.

One slice of a phantom patient: T2w, ground truth, and what the demo's best experiment makes of it.
"""

import io
import sys
from pathlib import Path

import nibabel as nib
import pandas as pd
import yaml
from gallery import write_small
from matplotlib.figure import Figure
from PIL import Image

from lumbarseg.anatomy import LabelTable
from lumbarseg.figures.style import LINE, add_class_legend, coloured, grey_levels, new_figure, panel_box, show, styled
from lumbarseg.geometry import read_plane

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/images/segmentation.png"
SIDE, GAP, HEADING = 2.4, 0.08, 2.2 * LINE
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
    paths = {
        "T2w": results / f"nifti/{folder}/anat/{name}_T2w.nii.gz",
        "Ground truth": results / f"nifti/{folder}/anat/{name}_dseg.nii.gz",
        f"Prediction ({experiment})": results / f"masks/{experiment}/fold-{fold}/{name}_dseg.nii.gz",
    }
    middle = nib.load(paths["T2w"]).shape[2] // 2
    planes = {title: read_plane(path, middle) for title, path in paths.items()}
    t2w, spacing = planes["T2w"]
    legend = 2.8 * LINE * 1.25
    figure = new_figure(3 * SIDE + 4 * GAP, HEADING + SIDE + legend)
    for number, (title, (plane, _)) in enumerate(planes.items()):
        axes = panel_box(figure, GAP + number * (SIDE + GAP), HEADING, SIDE, SIDE)
        image = grey_levels(t2w) if title == "T2w" else coloured(t2w, plane, classes, OPACITY)
        show(axes, image, spacing, title)
    add_class_legend(figure, classes, classes.targets, LEGEND_COLUMNS)
    return figure


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: readme_picture.py [RESULTS]")
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results/demo"
    if not (results / "metrics/iou.csv").exists():
        sys.exit(f"{results}: no metrics there; run `make demo` first")
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    drawn = io.BytesIO()
    segmentation_figure(results, LabelTable(config["classes"], config.get("background", 0))).savefig(drawn, dpi=140)
    write_small(Image.open(drawn), PICTURE)
