"""Draw docs/images/phantom_cohort.png: six phantom patients, a middle and a lateral slice of each.

python docs/phantom_figure.py docs/images/phantom_cohort.png
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import yaml
from matplotlib.colors import ListedColormap

from lumbarseg.atomic_io import atomic_write
from lumbarseg.phantom.cohort import participant_ids
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.series import label_volume, slice_image
from lumbarseg.phantom.spine import build_spine

PATIENTS, SEED, MATRIX, SLICES = 6, 1, 512, 12


def cohort_figure(path: Path) -> None:
    """Six rows (patients), six columns: T2w, T1w and mask of a middle slice, the same of a lateral one."""
    config = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text(encoding="utf-8"))
    classes = config["classes"]
    colours = ListedColormap([entry["colour"] for entry in classes])
    figure, axes = plt.subplots(PATIENTS, 6, figsize=(12, 2 * PATIENTS + 0.5), layout="constrained")
    for number, row in enumerate(axes, start=1):
        patient = draw_patient(number, participant_ids(number)[-1], SEED, [MATRIX], (SLICES, SLICES))
        spine = build_spine(patient.body)
        labels = label_volume(patient, spine)
        for first, index in ((0, SLICES // 2), (3, SLICES - 3)):
            for axis, contrast in zip(row[first : first + 2], ("T2w", "T1w"), strict=True):
                # Shown as a reader would see it, however the series is stored.
                columns, rows = patient.stacks[contrast].mirrored
                image = slice_image(patient, spine, contrast, index if columns == rows else SLICES - 1 - index)
                image = image[:: -1 if rows else 1, :: -1 if columns else 1]
                axis.imshow(image, cmap="gray", vmin=0, vmax=np.percentile(image, 99.3))
                axis.set_title(contrast, fontsize=7, pad=2)
            row[first + 2].imshow(
                labels[:, ::-1, index].T, cmap=colours, vmin=0, vmax=len(classes) - 1, interpolation="nearest"
            )
        row[0].set_ylabel(f"{patient.age} y, {patient.sex}, {patient.weight:.0f} kg\n{patient.site.name}", fontsize=7)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    handles = [plt.Rectangle((0, 0), 1, 1, color=entry["colour"]) for entry in classes[1:]]
    figure.legend(handles, [entry["name"] for entry in classes[1:]], loc="outside lower center", ncols=11, fontsize=6)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=92, pil_kwargs={"optimize": True})
    plt.close(figure)


if __name__ == "__main__":
    cohort_figure(Path(sys.argv[1]))
