"""Packing of an experiment of a study."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from factories.bundle import HISTORY, MEAN, NAMES, NETWORK, small_config, small_network, tuned
from lumbarseg.atomic_io import write_json
from lumbarseg.cohort.split import Assignment
from lumbarseg.deployment.bundle import Bundle
from lumbarseg.deployment.packing import StudyFiles, pack_experiment
from lumbarseg.errors import InputError
from lumbarseg.geometry import volume
from lumbarseg.models.metadata import network_metadata, save_network

PATIENTS = ["a", "b", "c"]
SPLIT = [
    *(
        Assignment(patient, 1, subset)
        for patient, subset in zip(PATIENTS, ("train", "validation", "test"), strict=True)
    ),
    *(
        Assignment(patient, 2, subset)
        for patient, subset in zip(PATIENTS, ("validation", "train", "test"), strict=True)
    ),
]


@pytest.fixture
def study(tmp_path):
    """Files of a study with two folds of the network UD, of which the second is better, and of a mean of two networks."""
    files = {name: [] for name in ("thresholds", "networks", "histories", "meta_learners", "images", "sidecars")}
    for fold, iou in ((1, 0.7), (2, 0.8)):
        folder = tmp_path / f"networks/UD/fold-{fold}"
        folder.mkdir(parents=True)
        save_network(small_network("UD"), folder / "network.keras", network_metadata("UD", fold, ["T2w", "T1w"], NAMES))
        HISTORY.to_csv(folder / "history.csv")
        write_json(tmp_path / f"UD-{fold}.json", tuned("UD", fold, iou=iou))
        write_json(tmp_path / f"mean-{fold}.json", tuned("E2+Geo", fold, iou=0.1))
        files["networks"].append(folder / "network.keras")
        files["histories"].append(folder / "history.csv")
        files["thresholds"] += [tmp_path / f"UD-{fold}.json", tmp_path / f"mean-{fold}.json"]
    for contrast in ("T2w", "T1w"):
        for number, patient in enumerate(PATIENTS):
            image = volume(
                np.random.default_rng(0).normal(size=(8, 8, 3)).astype("f4"), np.diag([1, 1, 4.0 + number, 1])
            )
            files["images"].append(tmp_path / f"{patient}_{contrast}.nii")
            files["sidecars"].append(tmp_path / f"{patient}_{contrast}.json")
            nib.save(image, files["images"][-1])
            write_json(files["sidecars"][-1], {"EchoTime": 0.1 if contrast == "T2w" else 0.01})
    iou = pd.DataFrame({"experiment": ["UD+TH"] * 3, "fold": [2] * 3, "class_name": NAMES, "iou": [0.9, 0.4, 0.5]})
    iou.to_csv(tmp_path / "iou.csv")
    return StudyFiles(**files, iou=tmp_path / "iou.csv")


def pack(study, path, name="best"):
    return pack_experiment(
        path, name, study, config=small_config(), models=[NETWORK, MEAN], labellings=["MAP", "TH"], patients=PATIENTS,
        assignments=SPLIT,
    )  # fmt: skip


def test_pack_experiment_takes_the_best_fold_and_the_ranges_of_its_training(study, tmp_path):
    path = tmp_path / "packed" / "best.zip"
    path.parent.mkdir()
    assert pack(study, path) == ("UD+TH", 2)
    manifest = Bundle(path).manifest
    assert manifest["patients"] == {"train": 1, "validation": 1, "test": 1}
    assert manifest["ranges"]["pixel height (mm)"] == [5.0, 5.0]  # patient b, the third axis of whose file is S
    assert manifest["ranges"]["T1w EchoTime (s)"] == [0.01, 0.01]
    assert manifest["test_iou"] == {"Background": 0.9, "Int-Disc": 0.4, "Spinal-Cavity": 0.5}
    assert [file.name for file in path.parent.iterdir()] == ["best.zip"]


def test_pack_experiment_writes_nothing_if_parts_do_not_fit(study, tmp_path):
    wrong = network_metadata("UD", 2, ["T1w", "T2w"], NAMES)
    save_network(small_network("UD"), study.networks[1], wrong)
    with pytest.raises(InputError, match="the networks cannot be used"):
        pack(study, tmp_path / "best.zip", "UD+TH")
    assert not (tmp_path / "best.zip").exists()
