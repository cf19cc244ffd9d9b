"""Registration by FSL FLIRT through fslpy, as in the paper."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from fsl.wrappers.wrapperutils import SHOW_IF_TRUE, applyArgStyle

from lumbarseg.atomic_io import disk_full_as_input_error
from lumbarseg.config.image_sections import Registration
from lumbarseg.errors import InputError
from lumbarseg.imaging.registration.fsl_installation import fsl_folder, require_flirt
from lumbarseg.imaging.registration.transforms import Matrix, from_flirt
from lumbarseg.temporary_files import temporary_folder

_SWITCHES = {"usesqform": SHOW_IF_TRUE, "nosearch": SHOW_IF_TRUE}  # options without a value
_END_S = 1.0  # seconds between SIGTERM and SIGKILL; a job itself has `joblog.GRACE_S`
_LEAST_VOLUME, _MOST_VOLUME = 0.1, 10.0  # factors by which a plausible matrix changes volumes


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
    binary = require_flirt()
    folder = fsl_folder(binary)
    environment = os.environ | {"FSLOUTPUTTYPE": "NIFTI_GZ"} | ({"FSLDIR": str(folder)} if folder else {})
    cost = settings.flirt.cost
    names = (str(moving_path), str(fixed_path))
    with (
        disk_full_as_input_error(tempfile.gettempdir()),
        temporary_folder("flirt") as scratch,
    ):
        result = scratch / "6.mat"
        _run(binary, names, environment, omat=result, **flirt_arguments(6, cost, settings.flirt.search_deg))
        matrix = _read_matrix(result, names)
        if settings.degrees_of_freedom == 12:  # it fails on thick slices unless it starts at the rigid result
            rigid, result = result, scratch / "12.mat"
            _run(binary, names, environment, init=rigid, omat=result, **flirt_arguments(12, cost))
            matrix = _read_matrix(result, names)
    return from_flirt(matrix, fixed, moving), f"FSL {_version(folder)}"


def _run(binary: Path, names: Sequence[str], environment: dict[str, str], **arguments: Any) -> None:
    """Run FLIRT in a process group of its own, which ends with this process.

    Args:
        binary: FLIRT.
        names: moving and fixed image.
        environment: the environment of FLIRT.
        arguments: options of FLIRT, as fslpy's wrapper takes them.

    Raises:
        InputError: FLIRT cannot be started, fails, or is killed.
    """
    moving, fixed = names
    options = applyArgStyle("-", valmap=_SWITCHES, **{name: _text(value) for name, value in arguments.items()})
    try:
        process = subprocess.Popen(
            [str(binary), "-in", moving, "-ref", fixed, *options], env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"{binary}: cannot be started ({error.strerror}); install FSL again, or use `engine: itk`"
        ) from error
    try:
        output, _ = process.communicate()
    finally:
        _end(process)
    _require_success(process.returncode, " ".join(output.decode(errors="replace").split())[-300:], binary, names)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End FLIRT if it still runs, because SIGTERM or an interrupt has ended this job."""
    if process.poll() is not None:
        return
    # the group, because FSL's `flirt` may be a shell script that starts the program
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)


def _require_success(status: int, said: str, binary: Path, names: Sequence[str]) -> None:
    if status == 0:
        return
    moving, fixed = names
    # a shell reports a killed program as 128 plus the signal
    number = -status if status < 0 else status - 128
    if number in list(signal.Signals):
        name = signal.Signals(number).name
        advice = (
            f"{name} mostly means too little memory: give the job more (`mem_mb`), or run fewer at a time"
            if number == signal.SIGKILL
            else f"{name} was sent by a scheduler or a user: check time limit and memory of the job"
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU)
            else f"check that `{binary} -version` works on this machine"
        )
        raise InputError(
            f"{moving}: FLIRT was killed by {name} (exit code {status}) while registering it to {fixed}"
            f"{f' ({said})' if said else ''}; {advice}, then run the same command again"
        )
    advice = (
        f"check that `{binary} -version` works on this machine"
        if status in (126, 127)
        else "check that both images open in FSLeyes"
    )
    raise InputError(
        f"{moving}: FLIRT could not register it to {fixed} (exit code {status}{f': {said}' if said else ''}); {advice}"
    )


def _read_matrix(path: Path, names: Sequence[str]) -> Matrix:
    """Read FLIRT's matrix.

    FLIRT exits without an error if the matrix cannot be written, as on a full disk.

    Raises:
        InputError: the matrix is missing, incomplete, or maps nothing onto something.
    """
    try:
        rows = [line.split() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        matrix = np.array([[float(number) for number in row] for row in rows])
    except FileNotFoundError:
        problem = "wrote no matrix"
    except ValueError:  # also rows of different lengths
        problem = "wrote an incomplete matrix"
    else:
        problem = _problem_of(matrix)
    if problem:
        moving, fixed = names
        raise InputError(
            f"{moving}: FLIRT {problem} for {fixed}, though it reported no error; free space in {path.parent.parent} (or set "
            "TMPDIR to another folder), check both images, and run the same command again"
        )
    return matrix


def _problem_of(matrix: Matrix) -> str:
    if matrix.shape != (4, 4):
        return (
            "wrote an empty matrix"
            if matrix.size == 0
            else f"wrote a matrix of {' × '.join(map(str, matrix.shape))} numbers"
        )
    if not np.isfinite(matrix).all():
        return "wrote a matrix with values that are not finite"
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        return "wrote a matrix without 0 0 0 1 in its last row"
    if not _LEAST_VOLUME < np.linalg.det(matrix[:3, :3]) < _MOST_VOLUME:
        return "wrote a matrix that is singular or no motion"
    return ""


def _version(folder: Path | None) -> str:
    version = Path(folder, "etc", "fslversion").read_text(errors="replace").split() if folder else []
    return version[0].partition(":")[0] if version else "of unknown version"
