"""Time registration and measure its error: `python benchmarks/registration.py [pairs]`.

Pairs are phantom patients whose T1w was displaced by a known motion of up to ±5° about each axis and ±5 mm along it. The
target registration error is the mean distance, over 4,000 places around the vertebrae, between where the found and the
known map put them. With FSL installed FLIRT is measured too. A folder with a real pair (`t2.nii.gz`, `t1.nii.gz`) may be
named as a second argument: there the motion is not known, and the likeness before and after is given.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measured import print_table

MATRICES = (320, 384, 448, 512, 640, 800)
DEGREES = MM = 5.0


def write_pair(folder: Path, number: int) -> tuple[np.ndarray, float]:
    """Write a phantom's T2w and T1w; give the map from T2w to T1w points and the pixel of the T2w, mm."""
    from lumbarseg.dicom import convert
    from lumbarseg.phantom.patients import draw_patient
    from lumbarseg.phantom.series import motion_matrix, write_series
    from lumbarseg.phantom.spine import build_spine

    generator = np.random.default_rng(number)
    side = MATRICES[number % len(MATRICES)]
    patient = draw_patient(number, f"pair{number}", 1, (side,), (8, 14))
    patient = replace(
        patient,
        rotation=tuple(generator.uniform(-DEGREES, DEGREES, 3)),
        translation=tuple(generator.uniform(-MM, MM, 3)),
    )
    spine = build_spine(patient.body)
    for contrast, name in (("T2w", "t2"), ("T1w", "t1")):
        write_series(folder / name, patient, spine, contrast)
        convert(folder / name, contrast, folder / f"{name}.nii.gz", folder / f"{name}.json")
    return np.linalg.inv(motion_matrix(patient)), patient.sequences["T2w"].spacing


def target_registration_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in mm between where two maps put the places around the vertebrae."""
    places = np.random.default_rng(5).uniform((-25, -35, -90), (25, 35, 90), size=(4000, 3))
    both = [places @ one[:3, :3].T + one[:3, 3] for one in (found, truth)]
    return float(np.linalg.norm(both[0] - both[1], axis=1).mean())


def registered(folder: Path, engine: Any, degrees_of_freedom: int) -> tuple[np.ndarray, dict[str, Any], float]:
    """Register a folder's pair; give the map, the report and the seconds of the whole call."""
    from lumbarseg.files import read_json
    from lumbarseg.geometry import load_image
    from lumbarseg.registration import from_flirt, register

    fixed, moving, out = folder / "t2.nii.gz", folder / "t1.nii.gz", Path(tempfile.mkdtemp(dir=sys.argv[0] and None))
    started = time.perf_counter()
    register(fixed, moving, out / "t1.nii.gz", out / "t1.mat", engine, degrees_of_freedom, out / "t1.json")
    seconds = time.perf_counter() - started
    found = from_flirt(np.loadtxt(out / "t1.mat"), load_image(fixed), load_image(moving))
    return found, read_json(out / "t1.json"), seconds
