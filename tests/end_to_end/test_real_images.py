"""Real images from end to end: a study as a second hospital would lay it over config.yaml, and a real T1w/T2w pair in DICOM.

The images are no part of the project (`shared_data` skips where they are absent), and nothing of them is kept.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from workflow_runs import copy_workflow, snakemake, write_study

COLUMNS = ("participant_id", "session_id", "t2w", "t1w", "mask", "age", "sex", "weight", "site")
ONE_THREAD = [f"{rule}=1" for rule in ("train_network", "stack_fold", "threshold_fold", "reconstruct_fold")]
BACKGROUND = {"id": 0, "name": "Background", "colour": "#000000"}

# The study that docs/real_images.md shows. The masks count the vertebrae; all of them are one class here.
VERTEBRAE = {
    "study": "vertebrae",
    "sessions": "sessions.tsv",
    "channels": ["T2w"],
    "classes": [BACKGROUND, {"id": 1, "name": "Vert", "colour": "#e8c97d", "values": [1, 2, 3, 4, 5, 6, 7]}],
    "patches": {"side": 96, "stride": 94},
    "train": ["UD", "UMD"],
    "topologies": {
        "UD": {"output": "ds3", "optimiser": "adam", "learning_rate": 0.003},
        "UMD": {"input": "multi_kernel", "output": "ds3", "optimiser": "adam", "learning_rate": 0.003},
    },
    "training": {
        "width": 8, "epochs": 5, "batch_size": 4, "device": "cpu",
        "augmentation": {"rotation": 10, "zoom": [0.8, 1.2]},
    },
    "ensembles": {"E2": ["UD", "UMD"]},
    "combine": {"ensembles": ["E2"], "combiners": ["Arith", "NAD"]},
    "stacking": {"epochs": 1, "learning_rate": 0.003},
    "comparison": {"reference": "UMD+TH"},
    "tables": {"table_7": ["networks+MAP", "networks+TH", "ensembles+Arith+TH", "ensembles+NAD+TH"]},
    "figures": {"cases": ["UD+TH", "UMD+TH", "E2+NAD+TH"], "box_plots": ["UD+TH", "UMD+TH", "E2+NAD+TH"]},
}  # fmt: skip
EXPERIMENTS = {f"{model}+{labelling}" for model in ("UD", "UMD", "E2+Arith", "E2+NAD") for labelling in ("MAP", "TH")}


def write_sheet(folder: Path, sessions: list[dict]) -> None:
    rows = ["\t".join(COLUMNS)]
    rows += ["\t".join(str(session.get(column, "")) for column in COLUMNS) for session in sessions]
    (folder / "sessions.tsv").write_text("\n".join(rows) + "\n")


def halved(image: nib.Nifti1Image, choose) -> nib.Nifti1Image:
    """An image on pixels of twice the side: `choose` makes one of the four pixels in the last axis."""
    voxels = np.asarray(image.dataobj)
    i, j = (size // 2 for size in voxels.shape[:2])
    four = voxels[: 2 * i, : 2 * j].reshape(i, 2, j, 2, -1).transpose(0, 2, 4, 1, 3).reshape(i, j, -1, 4)
    affine = image.affine @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    smaller = nib.Nifti1Image(choose(four).astype(voxels.dtype), affine)
    smaller.set_sform(affine, int(image.header["sform_code"]))
    smaller.set_qform(affine, int(image.header["qform_code"]))
    return smaller


@pytest.fixture(scope="module")
def lumbar_t2(shared_data, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """T2w and vertebra mask of ten patients on 2 mm pixels: a quarter of the work, and the scene is the same."""
    folder = tmp_path_factory.mktemp("lumbar_t2")
    images = {}
    for path in sorted((shared_data / "lumbar_t2").glob("*_T2w.nii.gz")):
        participant = path.name.split("_")[0].removeprefix("sub-")
        t2w, mask = folder / f"{participant}.nii.gz", folder / f"{participant}_mask.nii.gz"
        nib.save(halved(nib.load(path), lambda four: np.rint(four.mean(-1))), t2w)
        nib.save(halved(nib.load(path.with_name(f"sub-{participant}_T2w_vertebrae.nii.gz")),
                        lambda four: np.sort(four, axis=-1)[..., 1:3].max(-1)), mask)  # fmt: skip
        images[participant] = (t2w, mask)
    assert len(images) == 10
    return images


@pytest.fixture(scope="module")
def vertebrae(lumbar_t2, tmp_path_factory) -> Path:
    """The results of the study of vertebrae, run to its end."""
    folder = copy_workflow(tmp_path_factory.mktemp("vertebrae") / "workflow")
    write_sheet(
        folder,
        [
            {"participant_id": participant, "session_id": "01", "t2w": t2w, "mask": mask}
            for participant, (t2w, mask) in lumbar_t2.items()
        ],
    )
    write_study(folder, VERTEBRAE)
    run = snakemake(folder, "--configfile", "my_study.yaml", "--cores", "2", "--set-threads", *ONE_THREAD)
    assert run.status == 0, run.output[-4000:]
    return folder / "results/vertebrae"


def test_small_networks_find_the_vertebrae_of_patients_they_never_saw(vertebrae):
    iou = pd.read_csv(vertebrae / "metrics/iou.csv")
    print(iou.to_string())
