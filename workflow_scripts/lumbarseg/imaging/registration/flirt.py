"""Registration by FSL FLIRT through fslpy, as in the paper."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from fsl.utils.platform import platform as fsl_platform
from fsl.wrappers import flirt

from lumbarseg.errors import InputError
from lumbarseg.imaging.registration.transforms import Matrix, from_flirt


def flirt_arguments(degrees_of_freedom: int, cost: str = "mutualinfo", search: float = 0) -> dict[str, Any]:
    """Return FLIRT's arguments; its default search and cost fail by centimetres on thick slices.

    Args:
        degrees_of_freedom: 6 or 12.
        cost: FLIRT's cost function, also used for the search.
        search: largest angle about each axis tried by the search, degrees; 0 starts at the header geometry only.
    """
    arguments = {
        "dof": degrees_of_freedom,
        "cost": cost,
        "searchcost": cost,
        "usesqform": True,
        "datatype": "float",
    }
    if search == 0:
        return arguments | {"nosearch": True}
    return arguments | {f"searchr{axis}": (-search, search) for axis in "xyz"}


def estimate(
    fixed_path: str | Path,
    moving_path: str | Path,
    fixed: nib.Nifti1Image,
    moving: nib.Nifti1Image,
    degrees_of_freedom: int,
    settings: Mapping[str, Any],
) -> tuple[Matrix, str]:
    """Register with FLIRT; with 12 degrees of freedom it starts at its own rigid result.

    Args:
        fixed_path: the T2w image, for FLIRT.
        moving_path: the T1w image, for FLIRT.
        fixed: the T2w image.
        moving: the T1w image.
        degrees_of_freedom: 6 or 12.
        settings: `cost` and `search` of `flirt_arguments`.

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
        try:
            flirt(str(moving_path), str(fixed_path), omat=str(result), log=log, **flirt_arguments(6, **settings))
            if (
                degrees_of_freedom == 12
            ):  # FLIRT's affine registration fails on thick slices unless it starts at the rigid result
                rigid, result = result, Path(scratch, "12.mat")
                arguments = flirt_arguments(12, settings.get("cost", "mutualinfo"))
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
