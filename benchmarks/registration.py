"""Time registration and measure its error: `python benchmarks/registration.py [pairs]`.

Pairs are phantom patients whose T1w was displaced by a known motion of up to ±5° about each axis and ±5 mm along it. T1w has a grid
of its own: matrix, field of view, slices, tilt, centre and storage order differ from those of T2w. The target registration error is
the mean distance, over 4,000 places around the vertebrae, between where the found and the known map put them. A FLIRT that is
installed is measured too. A folder with a real pair (`t2.nii.gz`, `t1.nii.gz`) may be
named as a second argument: there the motion is not known, and the similarity before and after is given.
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measured import print_table

# each pair has two of a group's: small as in the demo, and those of Table 2
MATRICES = ((144, 160, 168), (320, 384, 448), (144, 160, 168), (512, 640, 800))
LIMIT = 0.35  # mm
DEGREES = MM = 5.0


def write_pair(folder: Path, number: int) -> tuple[np.ndarray, float]:
    """Write a phantom's T2w and T1w; give the map from T2w to T1w points and the pixel of the T2w, mm."""
    from lumbarseg.imaging.conversion import convert
    from lumbarseg.phantom.patients import draw_patient
    from lumbarseg.phantom.series import motion_matrix, write_series
    from lumbarseg.phantom.spine import build_spine

    generator = np.random.default_rng(number)
    patient = draw_patient(number, f"pair{number}", 1, MATRICES[number % len(MATRICES)], (8, 14))
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


def registered(folder: Path, engine: Any, degrees_of_freedom: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Register a folder's pair; give the map from T2w to T1w points and the report."""
    from lumbarseg.atomic_io import read_json
    from lumbarseg.config.image_sections import Registration
    from lumbarseg.geometry import load_image
    from lumbarseg.imaging.registration.session import register
    from lumbarseg.imaging.registration.transforms import from_flirt

    fixed, moving = folder / "t2.nii.gz", folder / "t1.nii.gz"
    with tempfile.TemporaryDirectory() as out:
        image, matrix, report = (Path(out, name) for name in ("t1.nii.gz", "t1.mat", "t1.json"))
        settings = Registration(engine=engine, degrees_of_freedom=degrees_of_freedom)
        register(fixed, moving, image, matrix, report, settings)
        return from_flirt(np.loadtxt(matrix), load_image(fixed), load_image(moving)), read_json(report)


def engines() -> list[str]:
    """The engines that this machine has."""
    from lumbarseg.imaging.registration.fsl_installation import find_flirt

    return ["itk", *(["flirt"] if find_flirt() else [])]


def is_flagged(report: dict[str, Any]) -> bool:
    """Return whether the registration is flagged for inspection."""
    return bool(report["unusual"] or report["fell_back_to_header"] or report["remarks"])


if __name__ == "__main__":
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else len(MATRICES)
    errors: dict[Any, list[float]] = {}
    shares: dict[Any, list[float]] = {}
    flagged: dict[Any, list[bool]] = {}
    seconds: dict[Any, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(1, pairs + 1):
            folder = Path(scratch, str(number))
            truth, pixel = write_pair(folder, number)
            unmoved = {"seconds": 0.0, "unusual": False, "fell_back_to_header": False, "remarks": []}
            tried: dict[Any, Any] = {("before registration", ""): (np.eye(4), unmoved)}
            for engine in engines():
                tried |= {(engine, degrees): registered(folder, engine, degrees) for degrees in (6, 12)}
            for name, (found, report) in tried.items():
                error = target_registration_error(found, truth)
                errors.setdefault(name, []).append(error)
                shares.setdefault(name, []).append(error / pixel)
                flagged.setdefault(name, []).append(is_flagged(report))
                seconds.setdefault(name, []).append(report["seconds"])
            shutil.rmtree(folder)
            print(f"pair {number} of {pairs} done", file=sys.stderr)
    print_table(
        ["engine", "dof", "pairs", "error mm, median", "worst", "error in pixels, median", "worst", f"below {LIMIT} mm",
         "above, flagged", "above, not flagged", "s, median", "s, most"],
        [
            [*name, pairs, median(errors[name]), max(errors[name]), median(shares[name]), max(shares[name]),
             sum(error < LIMIT for error in errors[name]),
             sum(error >= LIMIT and is_said for error, is_said in zip(errors[name], flagged[name], strict=True)),
             sum(error >= LIMIT and not is_said for error, is_said in zip(errors[name], flagged[name], strict=True)),
             median(seconds[name]), max(seconds[name])]
            for name in errors
        ],
    )  # fmt: skip
    if len(sys.argv) > 2:
        _, report = registered(Path(sys.argv[2]), "itk", 6)
        print(
            "real pair:", {key: report[key] for key in ("seconds", "shift_mm", "rotation_degrees", "before", "after")}
        )
