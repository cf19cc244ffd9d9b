"""Registration by FSL FLIRT through fslpy, as in the paper."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from fsl.utils.platform import platform as fsl_platform
from fsl.wrappers import flirt

from lumbarseg.config.image_sections import Registration
from lumbarseg.errors import InputError
from lumbarseg.imaging.registration.transforms import Matrix, from_flirt


def flirt_arguments(degrees_of_freedom: int, cost: str = "mutualinfo", search_deg: float = 0) -> dict[str, Any]:
    """Return FLIRT's arguments; its default search and cost fail by centimetres on thick slices.

    Args:
        degrees_of_freedom: 6 or 12.
        cost: FLIRT's cost function, also used for the search.
        search_deg: largest angle about each axis tried by the search, degrees; 0 starts at the header geometry only.
    """
    arguments = {
        "dof": degrees_of_freedom,
        "cost": cost,
        "searchcost": cost,
        "usesqform": True,
        "datatype": "float",
    }
    if search_deg == 0:
        return arguments | {"nosearch": True}
    return arguments | {f"searchr{axis}": (-search_deg, search_deg) for axis in "xyz"}


def estimate(
    fixed_path: str | Path,
    moving_path: str | Path,
    fixed: nib.Nifti1Image,
    moving: nib.Nifti1Image,
    settings: Registration,
) -> tuple[Matrix, str]:
    """Register with FLIRT; with 12 degrees of freedom it starts at its own rigid result.

    Args:
        fixed_path: the T2w image, for FLIRT.
        moving_path: the T1w image, for FLIRT.
        fixed: the T2w image.
        moving: the T1w image.
        settings: `degrees_of_freedom`, and `flirt` with FLIRT's cost function and search.

    Returns:
        The affine from fixed to moving points (4×4, RAS, mm), and FSL's version.

    Raises:
        InputError: FSL is not installed, or FLIRT fails.
    """
    folder = fsl_platform.fsldir
    if not folder or not Path(folder, "bin", "flirt").is_file():
        raise InputError(
            f"config, registration.engine: flirt needs FSL, but there is no {Path(folder or '$FSLDIR', 'bin', 'flirt')}; install "
            "FSL and set FSLDIR, or use `engine: itk`"
        )
    with tempfile.TemporaryDirectory(prefix="lumbarseg-flirt-") as scratch, _environment("FSLOUTPUTTYPE", "NIFTI_GZ"):
        output: list[str] = []
        log = {"tee": False, "stdout": output.append, "stderr": output.append}
        result = Path(scratch, "6.mat")
        cost = settings.flirt.cost
        rigidly = flirt_arguments(6, cost, settings.flirt.search_deg)
        try:
            flirt(str(moving_path), str(fixed_path), omat=str(result), log=log, **rigidly)
            if settings.degrees_of_freedom == 12:  # it fails on thick slices unless it starts at the rigid result
                rigid, result = result, Path(scratch, "12.mat")
                arguments = flirt_arguments(12, cost)
                flirt(str(moving_path), str(fixed_path), init=str(rigid), omat=str(result), log=log, **arguments)
            matrix = np.loadtxt(result)
        except (RuntimeError, OSError, ValueError) as error:
            reason = " ".join("".join(output).split())[-300:] or str(error)
            raise InputError(
                f"{moving_path}: FLIRT could not register it to {fixed_path} ({reason}); check that both images open in FSLeyes"
            ) from error
    return from_flirt(matrix, fixed, moving), f"FSL {fsl_platform.fslVersion or 'of unknown version'}"


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
