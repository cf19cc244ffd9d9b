"""The starter bundles that come with the workflow: networks trained on phantoms alone.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Sequence
from pathlib import Path

from lumbarseg.errors import InputError

_FOLDER = Path(__file__).with_name("starter")


def starter_bundle(channels: Sequence[str]) -> Path:
    """Return the starter bundle of a study's channels.

    Args:
        channels: contrasts, T2w first.

    Raises:
        InputError: the workflow has no such file.
    """
    path = _FOLDER / f"{'_'.join(channels)}.zip"
    if not path.is_file():
        raise InputError(f"{path}: starter bundle not found; get a complete copy of the workflow")
    return path
