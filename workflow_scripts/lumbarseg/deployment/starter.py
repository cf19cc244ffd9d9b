"""The starter bundles that come with the workflow: networks that saw only phantoms, for images without masks.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Sequence
from pathlib import Path

from lumbarseg.errors import InputError

STARTER = "starter"
"""What the config names instead of a bundle's file."""

FOLDER = Path(__file__).parent / "starter_bundles"


def starter_bundle(channels: Sequence[str]) -> Path:
    """Return the starter bundle for some contrasts.

    Args:
        channels: T2w, or T2w and T1w.

    Raises:
        InputError: the file is missing from this installation.
    """
    path = FOLDER / f"starter_{'_'.join(channels)}.zip"
    if not path.is_file():
        raise InputError(
            f"{path}: starter bundle not found; install the workflow again, or make it with `snakemake starter` and copy it there"
        )
    return path
