"""Calls of snakemake in a copy of the workflow, and small studies to run in it."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml
from scipy import ndimage

from lumbarseg.config.study import Study
from lumbarseg.workflow.plan import Plan

ROOT = Path(__file__).parents[2]
PAPER = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
"""The config of the paper's study."""
PARTS = ("Snakefile", "config.yaml", "envs", "rules", "workflow_scripts", "profiles", "slurm")


@dataclass
class Run:
    """The result of a call of snakemake."""

    status: int
    output: str

    @property
    def jobs(self) -> Counter:
        """Jobs by rule, from the table of a dry run."""
        _, _, table = self.output.rpartition("Job stats:")
        return Counter({rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)})


def snakemake(folder: Path, *arguments: str | Path) -> Run:
    """Call snakemake as a user does, in a folder that holds the workflow."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *map(str, arguments)],
        cwd=folder, env=os.environ | {"XDG_CACHE_HOME": str(folder / ".cache")}, text=True, check=False, timeout=1200,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return Run(done.returncode, done.stdout)


def copy_workflow(folder: Path) -> Path:
    """Copy what a user clones, so that a test may change it."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part, follow_symlinks=False)
    return folder


def write_cohort(folder: Path, patients: int, side: int = 40, slices: int = 3) -> Path:
    """Write T2w images and masks of bright discs (class 1) and squares (class 2), and their sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["participant_id\tsession_id\tt2w\tmask\tage\tsex\tweight\tsite"]
    for patient in range(patients):
        generator = np.random.default_rng(patient)
        mask = np.zeros((slices, side, side), np.uint8)
        for plane in mask:
            row, column = generator.integers(8, side - 24, 2)
            plane[row : row + 10, column : column + 10] = 1
            plane[row + 10 : row + 18, column : column + 14] = 2
        image = ndimage.gaussian_filter(100.0 + 100 * mask + generator.normal(0, 20, mask.shape), (0, 0.7, 0.7))
        # Sagittal, as converters write it: columns to posterior, rows to superior, slices to the left.
        affine = np.array([[0, 0, -4.0, 0], [-1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
        for name, voxels in (("T2w", image.astype(np.int16)), ("mask", mask)):
            written = nib.Nifti1Image(voxels.transpose(2, 1, 0)[:, ::-1], affine)
            written.set_qform(affine, 1)
            written.set_sform(affine, 1)
            nib.save(written, folder / f"{patient}_{name}.nii.gz")
        rows.append(f"p{patient}\t01\t{patient}_T2w.nii.gz\t{patient}_mask.nii.gz\t{40 + patient}\tF\t70\tnorth")
    sheet = folder / "sessions.tsv"
    sheet.write_text("\n".join(rows) + "\n")
    return sheet


def small_study(sheet: str, **changes) -> dict:
    """A study of T2w alone that runs in a minute: two topologies, three folds, one ensemble."""
    topologies = {
        "U1": {"optimiser": "adam", "learning_rate": 0.01},
        "UD": {"output": "ds3", "optimiser": "adam", "learning_rate": 0.01},
    }
    return {
        "study": "small",
        "sessions": sheet,
        "channels": ["T2w"],
        "classes": [
            {"id": 0, "name": "Background", "colour": "#000000"},
            {"id": 1, "name": "Vert", "colour": "#e8c97d"},
            {"id": 2, "name": "Sacrum", "colour": "#b5762f"},
        ],
        "patches": {"patch_size": 32, "stride": 24},
        "train": ["U1", "UD"],
        "topologies": topologies,
        "training": {"base_filters": 2, "epochs": 2, "batch_size": 8, "device": "cpu"},
        "ensembles": {"E2": ["U1", "UD"]},
        "combine": {"ensembles": ["E2"], "combiners": ["Arith", "NAD", "Flip"]},
        "stacking": {"epochs": 1, "out_of_fold": True},
        "uncertainty": {"experiment": "E2+NAD+TH"},
        "comparison": {"reference": "UD+TH"},
        "tables": {"table_7": ["U1+TH", "UD+TH", "E2+NAD+TH", "E2+Geo+TH"]},
        "figures": {"cases": ["UD+TH", "E2+NAD+TH"], "box_plots": ["U1+TH", "UD+TH", "E2+NAD+TH"]},
    } | changes  # fmt: skip


def write_study(folder: Path, content: dict) -> Path:
    file = folder / "my_study.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def study_of(changes: dict, files: Sequence[str] = ()) -> Study:
    """Lay changes over the paper's config, as Snakemake lays `my_study.yaml` over config.yaml.

    The file is written to the working directory, unless other files are named.
    """
    if not files:
        write_study(Path(), changes)
    return Study(_merged(PAPER, changes), [ROOT / "config.yaml", *map(Path, files or ["my_study.yaml"])])


def _merged(below: dict, above: dict) -> dict:
    return below | {
        key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }


def plan_of(**changes) -> Plan:
    """The plan of a small study in the working directory, with changes of its config laid over it section by section."""
    config = small_study("sessions.tsv")
    for key, value in changes.items():
        merged = isinstance(value, dict) and value and isinstance(config.get(key), dict)
        config[key] = {**config[key], **value} if merged else value
    return Plan(Study(config))
