"""Where FLIRT is installed. Nothing heavy is imported, because Snakemake asks while it plans a run."""

import os
import shutil
from pathlib import Path

from lumbarseg.errors import InputError


def find_flirt() -> Path | None:
    """Return the executable of FLIRT: that of FSLDIR, or else the one in PATH; None if there is neither."""
    folder = os.environ.get("FSLDIR")
    if folder and (found := shutil.which("flirt", path=str(Path(folder, "bin")))):
        return Path(found)
    in_path = shutil.which("flirt")
    return Path(in_path).absolute() if in_path else None


def require_flirt() -> Path:
    """Return the executable of FLIRT.

    Raises:
        InputError: FSL is not installed.
    """
    found = find_flirt()
    if found is None:
        folder = os.environ.get("FSLDIR")
        raise InputError(
            f"config, registration.engine: flirt needs FSL, but there is no {Path(folder or '$FSLDIR', 'bin', 'flirt')} and no "
            "flirt in PATH; install FSL and set FSLDIR or PATH (docs/cluster.md), or use `engine: itk`"
        )
    return found


def fsl_folder(flirt: Path) -> Path | None:
    """Return the folder of the FSL that an executable belongs to; None if it belongs to none."""
    candidates = [Path(os.environ["FSLDIR"])] if os.environ.get("FSLDIR") else []
    candidates += [*flirt.parents, *flirt.resolve().parents]
    return next((folder for folder in candidates if Path(folder, "etc", "fslversion").is_file()), None)
